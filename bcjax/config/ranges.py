"""Which values each key of a config may have; what depends on the pictures is checked later."""

from pathlib import Path

from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.runtime.errors import UserError

CHOICES = {
    "data.on_bad_image": ("error", "skip"),
    "data.store": ("auto", "disk", "host", "device"),
    "data.resize": ("", "squash", "crop", "pad"),
    "data.stain": ("", "reinhard", "macenko"),
    "model.dtype": ("float32", "bfloat16"),
    "model.weights_head": ("drop", "keep"),
    "model.norm": ("", "batch", "group", "layer", "frozen-batch"),
    "model.convention": ("", "torch", "tf", "keras"),
    "model.channels": (1, 3),
    "finetune.first.schedule": ("", "constant", "cosine", "step", "exponential", "linear"),
    "train.vary": ("seed", "lr", "fold"),
    "train.loss": ("cross_entropy", "focal"),
    "train.class_weights": ("none", "balanced"),
    "train.sampling": ("natural", "balanced"),
    "checkpoint.best": ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss"),
    "eval.split": ("train", "val", "test"),
    "eval.final_split": ("train", "val", "test"),
}
_AT_LEAST = {
    "data.image_size": 8, "data.synthetic_images": 8, "data.threads": 0, "data.workers": 0,
    "finetune.first.lr": 0.0, "finetune.first.patience": 0,
    "data.prefetch": 1, "train.batch_size": 1, "train.steps_per_call": 0, "train.patience": 0,
    "optim.accumulate": 1, "checkpoint.keep": 1, "eval.batch_size": 0, "eval.resamples": 0,
    "mesh.fsdp": 1, "train.members": 1, "data.folds": 0, "data.fold": 0,
    "train.focal_gamma": 0.0, "optim.plateau.patience": 0, "seed": 0,
    "model.epsilon": 0.0, "model.alpha": 0.0, "model.l1": 0.0, "model.l2": 0.0,
}  # fmt: skip
_FRACTIONS = (
    "data.val_fraction", "data.test_fraction", "train.label_smoothing", "optim.ema",
    "eval.coverage", "eval.error_rate",
)  # fmt: skip
_COLOURS = ("pad_colour", "mask_low", "mask_high", "mask_background")  # of `data`
_TRACKERS = ("mlflow", "wandb")
_LENGTHS = ("train.length", "train.log_every", "checkpoint.every", "eval.every")
_LENGTHS_OR_0 = ("optim.warmup", "finetune.first.length", "finetune.first.warmup")


def check(config: ConfigDict) -> ConfigDict:
    """Returns `config` if each value is in its range.

    Raises:
      UserError: Naming the first key whose value is not, and what it may be.
    """
    leaves = configs.flatten(config)
    for key, choices in CHOICES.items():
        if leaves[key] not in choices:
            named = ", ".join(str(choice) for choice in choices if choice != "")
            raise UserError(f"config.{key} is {leaves[key]!r}: choose one of {named}.")
    for key, least in _AT_LEAST.items():
        if leaves[key] < least:
            raise UserError(f"config.{key} is {leaves[key]}: it must be at least {least}.")
    for key in _FRACTIONS:
        if not 0 <= leaves[key] < 1:
            raise UserError(f"config.{key} is {leaves[key]}: it must be in [0, 1).")
    for key in ("model.dropout", "model.drop_path"):
        if leaves[key] != -1 and not 0 <= leaves[key] < 1:
            raise UserError(f"config.{key} is {leaves[key]}: it must be in [0, 1), or -1.")
    for key in (*_LENGTHS, *_LENGTHS_OR_0):
        count = configs.steps(leaves[key], examples=1, batch_size=1, key=key)
        if not count and key in _LENGTHS:
            raise UserError(f"config.{key} is {leaves[key]!r}: it must be more than 0.")
    for key in ("optim.step_at", "model.mean", "model.std", "model.hidden"):
        if not all(isinstance(number, int | float) for number in leaves[key]):
            raise UserError(f"config.{key} is {leaves[key]}: write numbers, such as (0.5, 0.75).")
    for key in ("model.mean", "model.std"):
        if len(leaves[key]) not in (0, config.model.channels):
            raise UserError(f"config.{key} is {leaves[key]}: give one for each channel.")
    if 0 in config.model.std:
        raise UserError(f"config.model.std is {config.model.std}: give what is not 0.")
    for name in config.track.to:
        if name not in _TRACKERS:
            raise UserError(f"config.track.to has {name!r}: choose of {', '.join(_TRACKERS)}.")
    if not 0 < config.finetune.layer_decay <= 1:
        raise UserError(
            f"config.finetune.layer_decay is {config.finetune.layer_decay}: it must be more than "
            "0 and at most 1; 0.75 is customary."
        )
    _check_entry(config.data)
    if config.train.batch_size % config.optim.accumulate:
        raise UserError(
            f"config.train.batch_size {config.train.batch_size} cannot be divided into "
            f"config.optim.accumulate = {config.optim.accumulate} equal micro-batches."
        )
    return config


def _check_entry(data: ConfigDict) -> None:
    """Checks what is done to a picture when it is decoded."""
    if not 0 <= data.crop_fraction <= 1:
        raise UserError(f"config.data.crop_fraction is {data.crop_fraction}: give at most 1.")
    for key in _COLOURS:
        levels = data[key]
        if len(levels) != 3 or not all(isinstance(n, int) and 0 <= n <= 255 for n in levels):
            raise UserError(
                f"config.data.{key} is {levels}: give three whole numbers from 0 to 255."
            )
    if any(low > high for low, high in zip(data.mask_low, data.mask_high, strict=True)):
        raise UserError(
            f"config.data.mask_low is {data.mask_low}, above config.data.mask_high, "
            f"{data.mask_high}: nothing is between them."
        )
    if data.stain_reference and not data.stain:
        raise UserError(
            "config.data.stain_reference is given, but no method: set config.data.stain to "
            "reinhard or macenko."
        )
    if data.stain_reference and not Path(data.stain_reference).is_file():
        raise UserError(
            f"config.data.stain_reference is {data.stain_reference!r}, where there is no file: "
            "give the path of a picture."
        )
