"""The one complete config tree, and how it is written and read again.

A file in `configs/` starts from `default()` and says only what differs. The tree is locked: a key
that is not here is an error that names the nearest one. Lengths are text, "20 epochs",
"500 steps" or "100000 examples", and `steps` is the one place that resolves them.
"""

import difflib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ml_collections import ConfigDict

from bcjax.runtime.errors import UserError

T = TypeVar("T")

UNITS = ("steps", "epochs", "examples")


def default() -> ConfigDict:
    """Returns the complete tree with its defaults, locked."""
    c = ConfigDict()
    c.seed = 0
    c.workdir = ""  # where the run is written; "": runs/<name of the config file>

    c.data = ConfigDict()
    c.data.source = "synthetic"  # a folder, .csv, .npz, TFDS name, prepared set, or "synthetic"
    c.data.classes = ()  # fixes the names and their order; (): as found in the data
    c.data.image_size = 96  # pixels; pictures are resized to this square on entry
    c.data.resize = ""  # squash: to the square; crop: its middle; pad: whole; "": as weights want
    c.data.crop_fraction = 0.0  # of the shorter side that "crop" leaves; 0: as weights want, or 1
    c.data.val_fraction = 0.15  # where the source has no validation split of its own
    c.data.test_fraction = 0.15  # where the source has no test split of its own
    c.data.split_seed = 0
    c.data.folds = 0  # of cross-validation, into which what is not test is cut; 0: none
    c.data.fold = 0  # which of them is val, from 0
    c.data.resplit = False  # carve every split anew, though the source names some
    c.data.boxes = ""  # crop: one picture for each boxed white cell; "": the source's pictures
    c.data.fine_labels = False  # PBC: sub-types in file names (BNE, SNE, MMY, ...) as classes
    c.data.on_bad_image = "error"  # error | skip
    c.data.on_unlabelled = "error"  # error | drop: rows that name no class, or several
    c.data.exclude = ()  # ids of pictures, or patterns such as "*/blurred_*", to leave out
    c.data.drop_classes = ()
    c.data.keep = ()  # the share of a class that stays, such as ("NEUTROPHIL=0.9",)
    c.data.drop = ()  # findings to leave out: conflicts copies duplicates blank tiny odd grey
    c.data.max_copies = 20  # a picture with more exact copies than this is no cell
    c.data.group_by = ""  # column:NAME | regex:PATTERN | hash | copies; "": as the source says
    c.data.allow_leaks = False  # go on though a split leaks; it is written into the results
    c.data.canary = False  # score a model that sees only colours on the split
    c.data.pad_colour = (0, 0, 0)  # RGB, 0 to 255, around what "pad" makes fit
    c.data.grey = False  # drop colour, on entry
    c.data.mask = False  # paint over all but the largest stained cell, on entry
    c.data.mask_low = (150, 36, 40)  # HSV of stain, each 0 to 255 (hue too), at least
    c.data.mask_high = (244, 255, 255)  # and at most
    c.data.mask_background = (255, 255, 255)  # RGB, 0 to 255
    c.data.stain = ""  # reinhard | macenko: normalise the stain, on entry, to that of ...
    c.data.stain_reference = ""  # ... this picture; "": the one that the method's paper gives
    c.data.store = "auto"  # auto | disk | host | device: where decoded pictures live
    c.data.synthetic_images = 2400  # how many drawings the synthetic source holds
    c.data.cache_dir = ""  # prepared sets; "": $BCJAX_CACHE, or ~/.cache/bcjax
    c.data.tfds_dir = ""  # where TFDS keeps its data; "": TFDS's own default
    c.data.threads = 0  # decoding threads; 0: one per core
    c.data.workers = 0  # decoding processes of the disk store; 0: threads only
    c.data.prefetch = 4  # calls of the step prepared ahead

    c.augment = ConfigDict()
    # In turn, each "name", "name(magnitude)" or "name(magnitude, option=..., p=...)".
    c.augment.ops = ("flip", "turn")

    c.model = ConfigDict()
    c.model.name = "elu_cnn"
    c.model.dtype = "float32"  # float32 | bfloat16: the compute dtype; parameters stay float32
    c.model.weights = ""  # a file of weights, or a run's folder, to start from
    c.model.weights_head = "drop"  # drop | keep: what becomes of the classifier in them
    c.model.hidden = ()  # units of the classifier's hidden layers; (): the model's own
    c.model.dropout = -1.0  # in the classifier; -1: the model's own
    c.model.drop_path = -1.0  # of the last block; -1: the model's own
    c.model.norm = ""  # batch | group | layer | frozen-batch; "": as weights want, or the model's
    c.model.convention = ""  # torch | tf | keras: whose arithmetic; "": as weights want, or model's
    c.model.epsilon = 0.0  # of the normalisation; 0: as weights want, or the model's
    c.model.alpha = 0.0  # width multiplier, for those that have one; 0: the model's own
    c.model.small_stem = False  # 3x3 stride 1 without pooling, for pictures of 28-64 px
    c.model.remat = False  # compute blocks again in the backward pass instead of keeping them
    c.model.channels = 3  # 1: pictures are turned to grey
    c.model.mean = ()  # per channel of pictures in 0..1; (): as weights want, or the model's own
    c.model.std = ()
    c.model.l1 = 0.0  # added to the loss: l1 sum|w| + l2 sum w^2 of the classifier's kernels
    c.model.l2 = 0.0

    c.finetune = ConfigDict()
    c.finetune.trainable = "all"  # all | head | "last 30%" | stages, by comma | regex of paths
    c.finetune.layer_decay = 1.0  # lr x this for each block further from the head; 1: off
    c.finetune.first = ConfigDict()  # a phase before the one that the rest of the tree describes
    c.finetune.first.length = "0 steps"  # 0: there is none
    c.finetune.first.trainable = "head"
    c.finetune.first.lr = 0.0  # 0: optim.lr
    c.finetune.first.schedule = ""  # "": optim.schedule
    c.finetune.first.warmup = "0 steps"
    c.finetune.first.patience = 0  # ends it after this many evaluations without gain; 0: never

    c.optim = ConfigDict()
    c.optim.name = "adamw"  # adam adamw nadam nadamw rmsprop sgd lion adafactor
    c.optim.lr = 1e-3
    c.optim.b1 = 0.9
    c.optim.b2 = 0.999
    c.optim.eps = 1e-8
    c.optim.momentum = 0.9  # sgd and rmsprop
    c.optim.nesterov = False
    c.optim.weight_decay = 1e-4  # kernels only: never biases and norms
    c.optim.clip_norm = 0.0  # global gradient norm; 0: off
    c.optim.schedule = "cosine"  # constant cosine step exponential linear
    c.optim.warmup = "0 steps"
    c.optim.final_lr = 0.0  # fraction of lr reached at the end of the schedule
    c.optim.step_at = (0.5, 0.75)  # fractions of the run at which schedule "step" drops
    c.optim.step_factor = 0.1
    c.optim.accumulate = 1  # micro-batches whose gradients are averaged inside one step
    c.optim.ema = 0.0  # decay of the average of parameters and batch statistics; 0: off
    c.optim.plateau = ConfigDict()  # lr x factor after `patience` evaluations without gain
    c.optim.plateau.patience = 0  # 0: off
    c.optim.plateau.factor = 0.2
    c.optim.plateau.min_scale = 1e-3

    c.train = ConfigDict()
    c.train.batch_size = 64  # over all devices
    c.train.length = "20 epochs"
    c.train.steps_per_call = 0  # steps per dispatch; 0: 8 on accelerators, 1 on CPU
    c.train.log_every = "50 steps"
    c.train.label_smoothing = 0.0
    c.train.loss = "cross_entropy"  # cross_entropy | focal
    c.train.focal_gamma = 2.0
    c.train.class_weights = "none"  # none | balanced
    c.train.sampling = "natural"  # natural | balanced: how often the classes are shown
    c.train.repeat = ()  # how often an epoch shows each picture of a class: ("basophil=4",)
    c.train.members = 1  # runs that train in one program, each in a folder of its own
    c.train.vary = "seed"  # what they differ in: seed (seed, seed + 1, ...) | lr | fold
    c.train.lrs = ()  # the learning rate of each member, where it is lr
    c.train.patience = 0  # stop after this many evaluations without gain; 0: never
    c.train.min_delta = 0.0  # what counts as a gain

    c.checkpoint = ConfigDict()
    c.checkpoint.every = "1 epochs"
    c.checkpoint.keep = 2  # latest ones kept, besides the best
    c.checkpoint.best = "accuracy"  # accuracy | balanced_accuracy | macro_f1 | macro_auc | log_loss

    c.eval = ConfigDict()
    c.eval.every = "1 epochs"
    c.eval.split = "val"  # what is watched during training
    c.eval.final_split = "test"  # what the best checkpoint is evaluated on at the end
    c.eval.batch_size = 0  # 0: train.batch_size
    c.eval.resamples = 1000  # of the bootstrap behind the 95 % intervals
    c.eval.coverage = 0.9  # of conformal sets, calibrated on `split` when training ends
    c.eval.error_rate = 0.05  # among the answers that are not called uncertain, likewise
    c.eval.report = True  # write report.html and its kin when training ends

    c.track = ConfigDict()
    c.track.to = ()  # mlflow, wandb: trackers that are told, too
    c.track.project = "bcjax"  # the experiment's name there
    c.track.uri = ""  # of MLflow's store or the W&B server; "": as their environment variables say

    c.mesh = ConfigDict()
    c.mesh.fsdp = 1  # devices over which large parameters are sharded; the rest is `data`
    c.mesh.fsdp_min_size = 1 << 18  # parameters with fewer elements are replicated
    c.mesh.coordinator = ""  # host:port of process 0; "": from the environment, if it says
    c.mesh.processes = 0
    c.mesh.process_id = -1
    return c.lock()


# What may differ between the run that wrote a workdir and the command that resumes it: nothing
# here changes a bit of the result, but for `mesh.`, which changes the rounding of its sums.
FREE_KEYS = (
    "workdir", "data.store", "data.cache_dir", "data.threads", "data.workers", "data.prefetch",
    "train.log_every", "train.steps_per_call", "checkpoint.keep", "eval.resamples", "eval.coverage",
    "eval.error_rate", "eval.report", "track.", "mesh.",
)  # fmt: skip


def choose(variant: str, variants: Mapping[str, T]) -> T:
    """Returns what a config file's `:variant` stands for.

    Raises:
      UserError: If it has no such variant.
    """
    if variant not in variants:
        known = ", ".join(f":{name}" for name in variants if name)
        raise UserError(f"This config file has no variant {variant!r}: it has {known}.")
    return variants[variant]


def flatten(config: ConfigDict) -> dict[str, Any]:
    """Returns {"optim.lr": 0.001, ...}, sorted by key."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            leaves |= {f"{key}.{k}": v for k, v in flatten(value).items()}
        else:
            leaves[key] = value
    return dict(sorted(leaves.items()))


def steps(text: str, *, examples: int, batch_size: int, key: str = "length") -> int:
    """Resolves a length to optimizer steps, rounded up.

    Args:
      text: "NUMBER steps", "NUMBER epochs" or "NUMBER examples"; singular units are fine.
      examples: Training pictures in one epoch.
      batch_size: Pictures per step.
      key: The config key, for the error message.

    Raises:
      UserError: If `text` is not of that form.
    """
    number, _, unit = text.strip().partition(" ")
    unit = unit.strip().rstrip("s") + "s"
    try:
        count = float(number)
    except ValueError:
        count = math.nan
    if unit not in UNITS or not 0 <= count < math.inf:
        raise UserError(
            f'config.{key} is {text!r}: write a length such as "20 epochs", "500 steps" or '
            '"100000 examples".'
        )
    per_unit = {"steps": 1.0, "epochs": examples / batch_size, "examples": 1 / batch_size}
    # A relative hair below the ceiling: 10 epochs of 64 in batches of 64 are 10 steps, not 11.
    return math.ceil(count * per_unit[unit] * (1 - 1e-12))


def nearest(word: str, known: list[str]) -> str:
    """Returns ': did you mean X?' for the known word most like `word`, or '.'."""
    tail = word.rsplit(".", 1)[-1]
    match = difflib.get_close_matches(word, known, 1, 0.6) or [
        k for k in sorted(known, key=lambda k: k.count(".")) if k.rsplit(".", 1)[-1] == tail
    ]
    return f": did you mean {match[0]!r}?" if match else "."


def replaced(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """Returns a copy of a config with other values of some keys, such as {"optim.lr": 3e-4}."""
    new = config.copy_and_resolve_references()
    new.update_from_flattened_dict(dict(changes))
    return new


def save(config: ConfigDict, path: Path) -> None:
    """Writes the tree as sorted JSON, atomically."""
    text = json.dumps(config.to_dict(), indent=2, sort_keys=True, default=list) + "\n"
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    os.replace(partial, path)


def from_dict(tree: dict[str, Any]) -> ConfigDict:
    """Rebuilds a config from its JSON form: keys that it lacks keep their defaults.

    Raises:
      UserError: For a key that this version does not know.
    """
    config = default()
    known = flatten(config)
    for key, value in flatten(ConfigDict(tree)).items():
        if key not in known:
            raise UserError(f"The saved config has a key {key!r} that this bcjax does not know.")
        value = tuple(value) if isinstance(known[key], tuple) else value
        config.update_from_flattened_dict({key: value})
    return config


def load(workdir: Path) -> ConfigDict:
    """Reads the config that the run in `workdir` was trained with.

    Raises:
      UserError: If no run was started there.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise UserError(f"{workdir} holds no run: {path.name} is missing; give a trained workdir.")
    return from_dict(json.loads(path.read_text()))


def differences(saved: ConfigDict, asked: ConfigDict) -> list[str]:
    """Returns 'optim.lr (0.001 there, 0.003 here)' for each key that a resumed run must keep."""
    there, here = flatten(saved), flatten(asked)
    return [
        f"{key} ({there[key]!r} there, {here[key]!r} here)"
        for key in there
        if there[key] != here[key] and not key.startswith(FREE_KEYS)
    ]
