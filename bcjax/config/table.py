"""The table of configuration: every key once, with all that is known about it.

The config tree, the checks of its values, the differences that stop a resumed run, the suggestions
for a mistyped key and the page docs/configuration.md all come from `KEYS`.

How "nothing" is written:

- `None` means "not set": somebody else decides, such as the weights, the network, the data or the
  machine. The line of the key says who. On the command line it is written `none`.
- `0`, `0.0` and `"0 steps"` mean "off" where zero is an honest number: no warm-up, no patience, no
  clipping, no label smoothing, no weight average.
- `()` is a list with nothing on it: no augmentation, no class left out.
"""

import dataclasses
from typing import Any

from bcjax.config.key import (
    BETWEEN_0_AND_1,
    BOOL,
    BYTE,
    COLOUR,
    COUNT,
    COUNT_FROM_1,
    FLOAT,
    FLOATS,
    FRACTION,
    INT,
    INTS,
    LENGTH,
    PATH,
    POSITIVE_SHARE,
    SEED,
    SHARE,
    SIDES,
    STRENGTH,
    TEXT,
    TEXTS,
    TINY,
    Key,
    Kind,
    Range,
)


def _key(default: Any, meaning: str, kind: Kind | None = None, **more: Any) -> Key:
    """Makes a row of the table; the kind is that of the default, where that says it."""
    kinds = {bool: BOOL, int: INT, float: FLOAT, str: TEXT}
    return Key(default, meaning, kind or kinds[type(default)], **more)


def _length(default: str, meaning: str, *, may_be_0: bool = False, **more: Any) -> Key:
    return _key(default, meaning, LENGTH, range=COUNT if may_be_0 else COUNT_FROM_1, **more)


def _colour(default: tuple[int, int, int], meaning: str) -> Key:
    return _key(default, meaning, COLOUR, range=BYTE)


SCHEDULES = ("constant", "cosine", "step", "exponential", "linear")
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss")
SPLITS = ("train", "val", "test")
# Why a key may not be tuned.
_JUDGED = "runs that differ in it are not judged by the same pictures"
_ONE_RUN = "each trial is one run"
_WRITTEN = "bcjax itself writes it"

FINDINGS = ("conflicts", "copies", "duplicates", "blank", "tiny", "odd", "grey")

_RUN = {
    "seed": _key(
        0, "The seed of all random numbers: first weights, order, augmentation.", range=SEED,
    ),
    "workdir": _key(
        None, "The folder that the run is written to; not set: runs/<name of the config file>.",
        PATH, may_change=True,
    ),
    "imports": _key(
        (), 'Modules of your own that register networks, losses, ...: ("my_cells.networks",).',
        TEXTS, may_change=True,
    ),
}  # fmt: skip

_DATA = {
    "source": _key(
        None,
        'The pictures: a folder, .csv, .npz, TFDS name or prepared set, or "synthetic" for drawn '
        "ones; not set: commands ask for them.",
        PATH,
        fixed=_JUDGED,
    ),
    "licence": _key(
        None,
        'The licence of the pictures, such as "CC BY 4.0", for the model card and exported files; '
        "not set: unknown.",
        TEXT, may_change=True,
    ),
    "classes": _key(
        None, "The names of the classes and their order; not set: as found in the data.", TEXTS,
    ),
    "image_size": _key(
        96, "The size to which each picture is resized when it is decoded.", SIDES,
        range=Range(8, 4096), unit="pixels",
    ),
    "resize": _key(
        None,
        "How a picture gets this shape: squash all of it, crop its middle, or pad it; not set: "
        "as the weights want, or squash.",
        TEXT, choices=("squash", "crop", "pad"),
    ),
    "crop_fraction": _key(
        None,
        'The share of each side that "crop" leaves of the largest part of this shape, which for a '
        "square is the shorter side; not set: as the weights want, or 1.",
        FLOAT, range=Range(0.01, 1),
    ),
    "val_fraction": _key(
        0.15, "The share of the pictures for validation, where the source names no such split.",
        range=FRACTION,
        fixed=_JUDGED,
    ),
    "test_fraction": _key(
        0.15, "The share of the pictures for testing, where the source names no such split.",
        range=FRACTION,
        fixed=_JUDGED,
    ),
    "split_seed": _key(
        0, "The seed that decides which picture goes into which split.", range=SEED,
        fixed=_JUDGED,
    ),
    "folds": _key(
        0, "The folds of cross-validation into which all but the test split is cut; 0: none.",
        range=Range(0, 1000),
        fixed=_JUDGED,
    ),
    "fold": _key(
        0, "The fold that is the validation split, counted from 0.", range=Range(0, 999),
        fixed=_JUDGED,
    ),
    "resplit": _key(
        False, "Splits the pictures anew although the source names splits.",
        fixed=_JUDGED,
    ),
    "boxes": _key(
        None, "Makes one picture of each boxed white cell; not set: the pictures as they are.",
        TEXT, choices=("crop",),
    ),
    "fine_labels": _key(
        False, "PBC: takes the sub-types in the file names (BNE, SNE, MMY, ...) as classes.",
    ),
    "max_pixels": _key(
        100_000_000,
        "The most pixels that a picture may have; larger ones are refused before they are decoded.",
        range=Range(1, 1 << 30), unit="pixels", may_change=True,
    ),
    "on_bad_image": _key(
        "error", "What to do with a picture that cannot be read.", choices=("error", "skip"),
    ),
    "on_unlabelled": _key(
        "error", "What to do with rows that name no class, or several.", choices=("error", "drop"),
    ),
    "exclude": _key((), 'Ids of pictures to leave out, or patterns such as "*/blurred_*".', TEXTS),
    "drop_classes": _key((), "Classes to leave out.", TEXTS),
    "keep": _key((), 'The share of a class that stays, such as ("NEUTROPHIL=0.9",).', TEXTS),
    "drop": _key((), "Findings to leave out.", TEXTS, choices=FINDINGS),
    "max_copies": _key(
        20, "A picture with more exact copies than this is not taken for a cell.",
        range=COUNT_FROM_1,
    ),
    "group_by": _key(
        None,
        "What must stay in one split: column:NAME, regex:PATTERN, hash or copies; not set: as the "
        "source says.",
        TEXT,
    ),
    "allow_leaks": _key(False, "Goes on although a split leaks; the results will say so."),
    "canary": _key(False, "Scores a model that sees only colours on the split."),
    "pad_colour": _colour((0, 0, 0), 'The colour (red, green, blue) around what "pad" makes fit.'),
    "grey": _key(False, "Drops the colour when a picture is decoded."),
    "mask": _key(False, "Paints over all but the largest stained cell when a picture is decoded."),
    "mask_low": _colour(
        (150, 36, 40), "The least (hue, saturation, value) of a stained pixel, each 0 to 255.",
    ),
    "mask_high": _colour((244, 255, 255), "The most (hue, saturation, value) of a stained pixel."),
    "mask_background": _colour((255, 255, 255), "The colour that the mask paints."),
    "stain": _key(
        None, "Normalises the stain when a picture is decoded, by this method; not set: leaves it.",
        TEXT, choices=("reinhard", "macenko"),
    ),
    "stain_reference": _key(
        None,
        "The picture whose stain all others are given; not set: the one of the method's paper.",
        PATH,
    ),
    "stain_sha256": _key(
        None, "The SHA-256 of the stain's reference, written by the run; not set: any reference.",
        TEXT,
    ),
    "store": _key(
        "auto", "Where decoded pictures live; auto: the fastest place that they fit into.",
        choices=("auto", "disk", "host", "device"), may_change=True,
    ),
    "synthetic_images": _key(
        2400, "The number of drawings in the synthetic source.", range=Range(8, 10**7),
        unit="pictures",
    ),
    "cache_dir": _key(
        None, "The folder of prepared sets; not set: $BCJAX_CACHE, or ~/.cache/bcjax.", PATH,
        may_change=True,
    ),
    "tfds_dir": _key(
        None, "The folder where TFDS keeps its data; not set: TFDS's own default.", PATH,
    ),
    "threads": _key(
        None, "Threads that decode pictures; not set: one for each core.", INT,
        range=Range(1, 4096), may_change=True,
    ),
    "workers": _key(
        0, "Processes that decode pictures for the disk store; 0: threads only.",
        range=Range(0, 4096), may_change=True,
    ),
    "prefetch": _key(
        4, "Calls of the step that are prepared ahead.", range=Range(1, 1000), may_change=True,
    ),
}  # fmt: skip

_AUGMENT = {
    "ops": _key(
        ("flip", "turn"),
        'The operations, in turn: "name", "name(magnitude)" or "name(magnitude, option=..., '
        'p=...)".',
        TEXTS, with_change=True,
    ),
}  # fmt: skip

_MODEL = {
    "name": _key("elu_cnn", "The network; `bcjax models` lists them."),
    "dtype": _key(
        "float32", "The type of the computation; parameters stay float32.",
        choices=("float32", "bfloat16"),
    ),
    "weights": _key(
        None, "A file of weights, or a run's folder, to start from; not set: starts from scratch.",
        PATH,
    ),
    "weights_head": _key(
        "drop", "What becomes of the classifier in those weights.", choices=("drop", "keep"),
    ),
    "widths": _key(
        None,
        "The filters in each stage of elu_cnn, custom_cnn, simple_cnn or conv2d, which is also how "
        "many stages there are; not set: the network's own.",
        INTS, range=Range(1, 65536),
    ),
    "depths": _key(
        None,
        "The convolutions in each stage of those networks; not set: the network's own.",
        INTS, range=Range(1, 1000),
    ),
    "kernel_size": _key(
        None,
        "The side of all kernels of those networks, or of the depthwise kernels of those made for "
        "blood cells; odd; not set: the network's own.",
        INT, range=Range(1, 255), unit="pixels",
    ),
    "squeeze": _key(
        None,
        "The stages of deep_efficientnet with squeeze-and-excitation, such as (3, 4), () for none; "
        "not set: the network's own.",
        INTS, range=Range(1, 1000),
    ),
    "hidden": _key(
        None, "Units of the classifier's hidden layers; not set: the network's own. (): none.",
        INTS, range=Range(1, 65536),
    ),
    "dropout": _key(
        None, "The dropout in the classifier; not set: the network's own.", FLOAT, range=FRACTION,
        with_change=True,
    ),
    "drop_path": _key(
        None, "The drop path (stochastic depth) of the last block; not set: the network's own.",
        FLOAT, range=FRACTION, with_change=True,
    ),
    "norm": _key(
        None, "The normalisation; not set: as the weights want, or the network's own.", TEXT,
        choices=("batch", "group", "layer", "frozen-batch"),
    ),
    "convention": _key(
        None,
        "Whose arithmetic (padding, epsilons); not set: as the weights want, or the network's own.",
        TEXT, choices=("torch", "tf", "keras"),
    ),
    "epsilon": _key(
        None, "The epsilon of the normalisation; not set: as the weights want, or the network's.",
        FLOAT, range=TINY,
    ),
    "alpha": _key(
        None, "The width multiplier of networks that have one; not set: the network's own.", FLOAT,
        range=Range(0, 16, open_low=True),
    ),
    "small_stem": _key(
        False, "A 3x3 stem of stride 1 without pooling, for pictures of 28 to 64 pixels.",
    ),
    "remat": _key(
        False, "Computes blocks again in the backward pass instead of keeping them in memory.",
    ),
    "channels": _key(
        3, "The channels of a picture; 1: pictures are turned to grey.", choices=(1, 3),
    ),
    "mean": _key(
        None,
        "The mean of each channel of pictures in 0..1; not set: as the weights want, or the "
        "network's own.",
        FLOATS, range=Range(-1000, 1000),
    ),
    "std": _key(
        None,
        "The deviation of each channel of pictures in 0..1; not set: as the weights want, or the "
        "network's own.",
        FLOATS, range=Range(1e-6, 1000),
    ),
    "l1": _key(
        0.0, "The weight of the L1 norm of the classifier's kernels in the loss; 0: off.",
        range=STRENGTH, with_change=True,
    ),
    "l2": _key(
        0.0, "The weight of the squared L2 norm of the classifier's kernels in the loss; 0: off.",
        range=STRENGTH, with_change=True,
    ),
}  # fmt: skip

_FINETUNE = {
    "trainable": _key(
        "all", 'What trains: all, head, "last 30%", stages by comma, or a regex of paths.',
    ),
    "layer_decay": _key(
        1.0,
        "The factor on the learning rate for each block further from the classifier; 0.75 is "
        "customary, 1: off.",
        range=POSITIVE_SHARE,
    ),
    "first.length": _length(
        "0 steps", "How long a phase before the main one takes; 0: there is none.", may_be_0=True,
    ),
    "first.trainable": _key("head", "What trains in that phase."),
    "first.lr": _key(
        None, "The learning rate of that phase; not set: optim.lr.", FLOAT,
        range=Range(0, 1000, open_low=True),
    ),
    "first.schedule": _key(
        None, "The schedule of that phase; not set: optim.schedule.", TEXT, choices=SCHEDULES,
    ),
    "first.warmup": _length("0 steps", "The warm-up of that phase; 0: none.", may_be_0=True),
    "first.patience": _key(
        0, "Ends that phase after this many evaluations without gain; 0: never.", range=COUNT,
        unit="evaluations",
    ),
}  # fmt: skip

_OPTIM = {
    "name": _key(
        "adamw", "The optimizer.",
        choices=("adam", "adamw", "nadam", "nadamw", "rmsprop", "sgd", "lion", "adafactor"),
    ),
    "lr": _key(1e-3, "The learning rate after the warm-up.", range=STRENGTH, with_change=True),
    "b1": _key(
        0.9, "The decay of the average of the gradient (adam, nadam, lion).", range=FRACTION,
        with_change=True,
    ),
    "b2": _key(
        0.999, "The decay of the average of the squared gradient (adam, nadam, lion, rmsprop).",
        range=FRACTION, with_change=True,
    ),
    "eps": _key(
        1e-8, "The number that the optimizer adds to denominators.", range=TINY, with_change=True,
    ),
    "momentum": _key(0.9, "The momentum (sgd, rmsprop).", range=FRACTION),
    "nesterov": _key(False, "Nesterov's momentum (sgd, rmsprop)."),
    "weight_decay": _key(
        1e-4, "The weight decay of kernels; biases and norms never decay.", range=STRENGTH,
        with_change=True,
    ),
    "clip_norm": _key(
        0.0, "The global norm to which the gradient is clipped; 0: off.", range=Range(0, 1e9),
        with_change=True,
    ),
    "schedule": _key(
        "cosine", "How the learning rate falls after the warm-up.", choices=SCHEDULES,
        with_change=True,
    ),
    "warmup": _length(
        "0 steps", "How long the learning rate rises at the start; 0: not at all.", may_be_0=True,
        with_change=True,
    ),
    "final_lr_fraction": _key(
        0.0, "The fraction of lr that is reached at the end of the schedule.", range=SHARE,
        with_change=True,
    ),
    "step_at": _key(
        (0.5, 0.75), 'The fractions of the run at which the schedule "step" drops.', FLOATS,
        range=SHARE, with_change=True,
    ),
    "step_factor": _key(
        0.1, 'The factor on the learning rate at each drop of the schedule "step".',
        range=Range(0, 1000, open_low=True), with_change=True,
    ),
    "accumulate": _key(
        1, "Micro-batches whose gradients are averaged inside one step.", range=COUNT_FROM_1,
        with_change=True,
    ),
    "ema": _key(
        0.0, "The decay of the average of parameters and batch statistics; 0: off.", range=FRACTION,
    ),
    "correct_averages": _key(
        None,
        "Corrects batch statistics and optim.ema for their start, as Adam does its moments; not "
        "set: true, but false in a run that began before bcjax had this key.",
        BOOL,
    ),
    "plateau.patience": _key(
        0, "Lowers the learning rate after this many evaluations without gain; 0: never.",
        range=COUNT, unit="evaluations", with_change=True,
    ),
    "plateau.factor": _key(
        0.2, "The factor on the learning rate each time that it is lowered.", range=POSITIVE_SHARE,
        with_change=True,
    ),
    "plateau.min_scale": _key(
        1e-3, "The least share of the learning rate that is left.", range=SHARE, with_change=True,
    ),
}  # fmt: skip

_TRAIN = {
    "batch_size": _key(
        64, "The pictures in a step, over all devices.", range=COUNT_FROM_1, unit="pictures",
        with_change=True,
    ),
    "length": _length("20 epochs", "How long to train; --extend lengthens a run."),
    "restarts": _key(
        (), "The steps of the length at which the schedule begins anew; --extend=restart adds one.",
        INTS, range=COUNT_FROM_1, unit="steps",
        fixed=_WRITTEN,
    ),
    "shown": _key(
        (),
        "The step at which the batch size last changed, and the pictures shown until then; "
        "--change writes it.",
        INTS, range=COUNT_FROM_1,
        fixed=_WRITTEN,
    ),
    "steps_per_call": _key(
        None, "Steps in one dispatch to the devices; not set: 8 on accelerators, 1 on CPU.", INT,
        range=Range(1, 10_000), unit="steps", may_change=True,
    ),
    "log_every": _length("50 steps", "How often a line is logged.", may_change=True),
    "label_smoothing": _key(
        0.0, "The share of each label that is spread over all classes; 0: off.", range=FRACTION,
        with_change=True,
    ),
    "loss": _key(
        "cross_entropy", "The loss.", choices=("cross_entropy", "focal"), with_change=True,
    ),
    "callbacks": _key(
        (), "Functions of bcjax.register.callback that are called after each evaluation.", TEXTS,
        with_change=True,
    ),
    "focal_gamma": _key(
        2.0, "The exponent of the focal loss.", range=Range(0, 100), with_change=True,
    ),
    "class_weights": _key(
        "none", "How the classes are weighted in the loss.", choices=("none", "balanced"),
        with_change=True,
    ),
    "sampling": _key(
        "natural", "How often the classes are shown.", choices=("natural", "balanced"),
    ),
    "epoch_size": _key(
        None, "The pictures that an epoch shows; not set: as many as there are.", INT,
        range=Range(1, 10**8), unit="pictures",
    ),
    "repeat": _key(
        (), 'How often an epoch shows each picture of a class, such as ("basophil=4",).', TEXTS,
    ),
    "members": _key(
        1, "Runs that train in one program, each in a folder of its own.", range=Range(1, 1000),
        fixed=_ONE_RUN,
    ),
    "vary": _key(
        "seed", "What the members differ in.", choices=("seed", "lr", "fold"),
        fixed=_ONE_RUN,
    ),
    "lrs": _key(
        (), "The learning rate of each member, where they differ in it.", FLOATS,
        range=Range(0, 1000, open_low=True),
        fixed=_ONE_RUN,
    ),
    "patience": _key(
        0, "Stops after this many evaluations without gain; 0: never.", range=COUNT,
        unit="evaluations", with_change=True,
    ),
    "min_delta": _key(0.0, "What counts as a gain.", range=Range(0, 1000), with_change=True),
}  # fmt: skip

_CHECKPOINT = {
    "every": _length("1 epochs", "How often a checkpoint is written.", with_change=True),
    "keep": _key(
        2, "The latest checkpoints that are kept, besides the best.", range=COUNT_FROM_1,
        may_change=True,
    ),
    "best": _key(
        "accuracy", "The metric by which the best checkpoint is chosen.", choices=METRICS,
        fixed="runs that differ in it are not judged by the same metric",
    ),
    "best_under": _key(
        None, "The line of eval.also under which that metric counts; not set: the clean pictures.",
        TEXT, fixed="runs that differ in it are not judged by the same metric",
    ),
}  # fmt: skip

_EVAL = {
    "every": _length("1 epochs", "How often the watched split is evaluated.", with_change=True),
    "split": _key(
        "val", "The split that is watched during training.", choices=SPLITS,
        fixed=_JUDGED,
    ),
    "final_split": _key(
        "test", "The split on which the best checkpoint is evaluated at the end.", choices=SPLITS,
        fixed=_JUDGED,
    ),
    "batch_size": _key(
        None, "The pictures in a batch of evaluation; not set: train.batch_size.", INT,
        range=COUNT_FROM_1, unit="pictures",
    ),
    "also": _key(
        (), 'Augmentations under which pictures are evaluated beside the clean ones: ("blur(1)",).',
        TEXTS, with_change=True,
    ),
    "resamples": _key(
        1000, "The resamples of the bootstrap behind the 95 % intervals; 0: no intervals.",
        range=Range(0, 100_000), may_change=True,
    ),
    "coverage": _key(
        0.9, "The coverage of conformal sets, calibrated on the watched split at the end.",
        range=BETWEEN_0_AND_1, may_change=True,
    ),
    "error_rate": _key(
        0.05, "The share of errors among the answers that are not called uncertain.",
        range=BETWEEN_0_AND_1, may_change=True,
    ),
    "report": _key(
        True, "Writes report.html, figures and a model card at the end.", may_change=True,
    ),
}  # fmt: skip

_TRACK = {
    "to": _key(
        (), "Trackers that receive the results as well.", TEXTS, choices=("mlflow", "wandb"),
        may_change=True,
    ),
    "project": _key("bcjax", "The name of the experiment there.", may_change=True),
    "uri": _key(
        None,
        "The address of MLflow's store or the W&B server; not set: as their environment "
        "variables say.",
        TEXT, may_change=True,
    ),
}  # fmt: skip

_MESH = {
    "fsdp": _key(
        1, "The devices over which large parameters are divided; the rest divide the batch.",
        range=COUNT_FROM_1, may_change=True,
    ),
    "fsdp_min_size": _key(
        1 << 18, "Parameters with fewer elements are copied to each device instead.", range=COUNT,
        may_change=True,
    ),
    "coordinator": _key(
        None, "The address, host:port, of process 0; not set: as the environment says, if it does.",
        TEXT, may_change=True,
    ),
    "processes": _key(
        None, "The number of processes; not set: as the environment says.", INT, range=COUNT_FROM_1,
        may_change=True,
    ),
    "process_id": _key(
        None, "The number of this process, counted from 0; not set: as the environment says.", INT,
        range=COUNT, may_change=True,
    ),
    "wait_seconds": _key(
        300, "How long a process waits at the start for the others to come.", unit="s",
        range=Range(1, 10**6), may_change=True,
    ),
    "heartbeat_seconds": _key(
        30, "How long a process may give no sign of life until the others end, too.", unit="s",
        range=Range(2, 10**6), may_change=True,
    ),
}  # fmt: skip

BRANCHES: dict[str, tuple[str, dict[str, Key]]] = {
    "": ("The run", _RUN),
    "data": ("The pictures", _DATA),
    "augment": ("Augmentation", _AUGMENT),
    "model": ("The network", _MODEL),
    "finetune": ("What trains", _FINETUNE),
    "optim": ("The optimizer", _OPTIM),
    "train": ("Training", _TRAIN),
    "checkpoint": ("Checkpoints", _CHECKPOINT),
    "eval": ("Evaluation", _EVAL),
    "track": ("Trackers", _TRACK),
    "mesh": ("Devices and processes", _MESH),
}


KEYS: dict[str, Key] = {
    f"{branch}.{name}".removeprefix("."): key
    for branch, (_, keys) in BRANCHES.items()
    for name, key in keys.items()
}


def add_choice(name: str, choice: str) -> None:
    """Adds a value to those that a key may have, for what is registered from outside."""
    key = KEYS[name]
    if choice not in key.choices:
        KEYS[name] = dataclasses.replace(key, choices=(*key.choices, choice))


LENGTHS = tuple(name for name, key in KEYS.items() if key.kind is LENGTH)

# The keys that had another name in an earlier version.
OLD_KEYS = {"optim.final_lr": "optim.final_lr_fraction"}

# What a run did whose config.json lacks a key that came later, where that is not the default.
BEFORE_THE_KEY: dict[str, Any] = {"optim.correct_averages": False}

# What a network was before the config could say it, for runs whose config.json lacks this key.
CAME_LATER = "model.squeeze"
OLD_NETWORKS: dict[str, dict[str, Any]] = {
    "deep_efficientnet": {
        "model.squeeze": (1, 2, 3, 4), "model.kernel_size": 3, "model.convention": "tf",
    },
    "cell_efficientnet_lite": {"model.convention": "tf"},
}  # fmt: skip

# How "not set" was written before it was None, by runs whose config.json has a key of `OLD_KEYS`.
OLD_NOT_SET: dict[str, Any] = {
    "workdir": "", "data.source": "", "data.classes": (), "data.resize": "",
    "data.crop_fraction": 0.0, "data.boxes": "", "data.group_by": "", "data.stain": "",
    "data.stain_reference": "",
    "data.cache_dir": "", "data.tfds_dir": "", "data.threads": 0, "model.weights": "",
    "model.hidden": (), "model.dropout": -1.0, "model.drop_path": -1.0, "model.norm": "",
    "model.convention": "", "model.epsilon": 0.0, "model.alpha": 0.0, "model.mean": (),
    "model.std": (), "finetune.first.lr": 0.0, "finetune.first.schedule": "",
    "train.steps_per_call": 0, "eval.batch_size": 0, "track.uri": "", "mesh.coordinator": "",
    "mesh.processes": 0, "mesh.process_id": -1,
}  # fmt: skip
