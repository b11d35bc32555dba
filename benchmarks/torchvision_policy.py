"""torchvision's augmentation as a script of PyTorch would write it: the policy of our peers.

Flips and RandAugment are applied picture by picture, MixUp or CutMix to the batch. Pictures are
PIL's: on a core of a CPU that is faster than uint8 tensors.
"""

import contextlib

with contextlib.suppress(ImportError):
    import torchvision_ops  # noqa: F401  # where torchvision's own operators were built for another torch

from torchvision.transforms import v2


def of_picture() -> v2.Transform:
    """Flips and RandAugment(2, 9), interpolated as ours, from a PIL image to a uint8 tensor."""
    flips = [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    policy = v2.RandAugment(2, 9, interpolation=v2.InterpolationMode.BILINEAR)
    return v2.Compose([*flips, policy, v2.PILToTensor()])


def of_batch(classes: int) -> v2.Transform:
    """MixUp(0.2) or CutMix(1.0) of a float batch and its labels, which become soft."""
    return v2.RandomChoice(
        [v2.MixUp(alpha=0.2, num_classes=classes), v2.CutMix(alpha=1.0, num_classes=classes)]
    )
