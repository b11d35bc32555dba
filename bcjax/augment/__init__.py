"""Augmentation on the device, from the lines of a config to one jitted function of a batch.

    policy = augment.build(("flip", "rotate(30, p=0.5)", "rand_augment(2, 9)", "mixup(0.2)"))
    images, share = policy(key, images, index, policy.numbers)

Where things are:

- `op`: what an operation is, `Op`, and the numbers that it takes, `Argument`;
- `geometry`, `colour`, `filters`, `erase`: the operations on one picture, and their tables `OPS`;
- `mix`: MixUp and CutMix, which mix the pictures of a batch;
- `table`: all operations by name, and `register` for operations from outside;
- `spec`: how a config writes them; `policy`: from there to a function of a batch.

To add an augmentation of one picture, write a pure function `(key, image, strength) -> image` in
the file of its kind and give it an entry in that file's `OPS`, with its range, its unit and its
paper; or call `register` from a module of your own. Nothing else is needed: the config's checks,
`bcjax preview` and docs/augmentations.md read the table.
"""

from bcjax.augment.op import Argument, Op
from bcjax.augment.policy import NO_AUGMENTATION, Policy, build
from bcjax.augment.table import OPS, register

__all__ = ["NO_AUGMENTATION", "OPS", "Argument", "Op", "Policy", "build", "register"]
