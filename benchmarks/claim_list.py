"""The claims of published blood-cell projects that `claims.py` tests, and the runs for it.

Each claim is tested at the smallest size and length at which it can be within half an hour on two
cores; `where` says which.
"""

import dataclasses
from typing import Any, Literal

Changes = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Arm:
    """A config whose runs are compared.

    Attributes:
      config: The name of a config.
      changes: Values by key. `data.source` and `model.weights` are paths below `--data`.
    """

    config: str
    changes: Changes


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a claim says of two arms.

    Attributes:
      first: An arm.
      second: Another one.
      points: By how many points the first is said to be higher; None: nothing is said.
      says: "more": the first has the higher metric. "alike": they differ by less than `MARGIN`.
    """

    first: str
    second: str
    points: float | None = None
    says: Literal["more", "alike"] = "more"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A published claim.

    Attributes:
      number: Its number on the page.
      project: The project that made it, by the name of its config.
      text: What was claimed.
      published: The published figures.
      where: The pictures, size and length of the runs here, and what differs from the project.
      arms: The arms by name.
      comparisons: What the claim says of them: it holds if each of these holds.
      metric: The metric.
      under: Augmentations of the test pictures; the metric is then their mean.
      faster: Arms of which the first is said to be `times` as fast.
      times: By how much.
    """

    number: int
    project: str
    text: str
    published: str
    where: str
    arms: dict[str, Arm]
    comparisons: tuple[Comparison, ...]
    metric: str = "accuracy"
    under: tuple[str, ...] = ()
    faster: tuple[str, str] | None = None
    times: float = 1.0


MARGIN = 0.02  # of accuracy: less than this is "no loss"

# PBC, 8 classes: a quarter of the pictures for testing, a tenth for watching.
_PBC = {
    "data.source": "pbc3200", "data.image_size": 64, "data.val_fraction": 0.1,
    "data.test_fraction": 0.25, "eval.final_split": "test", "model.dtype": "float32",
    "train.length": "10 epochs", "eval.every": "2 epochs", "checkpoint.every": "2 epochs",
}  # fmt: skip
_PBC_WHERE = "3,200 pictures of PBC at 64 px, 10 epochs, 800 test pictures"
_NO_REGULARISATION = {
    "train.label_smoothing": 0.0, "model.dropout": 0.0, "model.drop_path": 0.0,
    "optim.weight_decay": 0.0,
}  # fmt: skip

# 4-class BCCD: the copies of one smear stay on one side of the split. An epoch shows each smear
# some 36 times, so that few epochs do.
_BCCD4 = {
    "data.source": "bccd4", "data.image_size": 48, "train.length": "4 epochs",
    "eval.every": "1 epoch", "checkpoint.every": "1 epoch",
}  # fmt: skip
_WEIGHTS = {"model.weights": "../weights/mobilenetv2_1.0_224_imagenet.npz"}
_FROZEN = _BCCD4 | _WEIGHTS | {"data.image_size": 96, "train.length": "20 epochs"}
_FROZEN_WHERE = (
    "4-class BCCD (the training folder, copies kept together), MobileNetV2 with ImageNet weights, "
    "frozen, 96 px, 20 epochs"
)
_ELU_WHERE = "4-class BCCD (the training folder, copies kept together) at 48 px, 4 epochs"
_CORRUPTIONS = ("noise(0.08)", "blur(1.5)", "gamma(0.7)")


def _pbc(network: str = "deep_efficientnet", **changes: Any) -> Arm:
    return Arm(f"published/pbc3200:{network}", _PBC | _keys(changes))


def _elu(optimizer: str) -> Arm:
    return Arm(f"published/elu_resnet50:{optimizer}", _BCCD4)


def _transfer(variant: str) -> Arm:
    changes = _BCCD4 | _WEIGHTS | {"train.length": "2 epochs"}
    return Arm(f"published/elu_resnet50:{variant}", changes | {"model.name": "mobilenet_v2"})


def _frozen(**changes: Any) -> Arm:
    return Arm("published/edge_impulse:mobilenet_v2_160", _FROZEN | _keys(changes))


def _conv2d(**changes: Any) -> Arm:
    return Arm("published/edge_impulse:conv2d", _BCCD4 | _keys(changes))


def _heavy(**changes: Any) -> Arm:
    own = {
        "data.drop": (), "model.hidden": None, "model.l1": 0.0, "model.l2": 0.0,
        "train.epoch_size": None, "train.batch_size": 64, "train.length": "10 epochs",
        "train.patience": 0, "eval.also": _CORRUPTIONS,
    }  # fmt: skip
    return Arm("published/an2dl_convnext:custom", _PBC | own | _keys(changes))


def _raw(**changes: Any) -> Arm:
    own = _WEIGHTS | {
        "data.source": "bccd", "data.image_size": 160, "model.name": "mobilenet_v2",
        "train.length": "20 epochs",
    }  # fmt: skip
    return Arm("published/bccd_raw:resnet", own | _keys(changes))


def _keys(changes: Changes) -> Changes:
    """Turns `train__length` into `train.length`."""
    return {key.replace("__", "."): value for key, value in changes.items()}


def _each_below(best: str, arms: dict[str, Arm]) -> tuple[Comparison, ...]:
    return tuple(Comparison(best, other) for other in arms if other != best)


_OPTIMIZERS = {
    "SGD with two dropouts": _elu("sgd_dropout"), "SGD": _elu("sgd"), "Adam": _elu("adam"),
    "RMSprop": _elu("rmsprop"),
}  # fmt: skip
_SETTINGS = {
    "64 neurons, 20 cycles, 5e-4": _frozen(),
    "16 neurons": _frozen(model__hidden=(16,)),
    "256 neurons": _frozen(model__hidden=(256,)),
    "5 cycles": _frozen(train__length="5 epochs"),
    "40 cycles": _frozen(train__length="40 epochs"),
    "learning rate 5e-5": _frozen(optim__lr=5e-5),
    "learning rate 5e-3": _frozen(optim__lr=5e-3),
}

CLAIMS = (
    Claim(
        1, "elu_resnet50", "SGD with two dropouts is the best of four ways to train the ELU CNN",
        "best of four", _ELU_WHERE, _OPTIMIZERS, _each_below("SGD with two dropouts", _OPTIMIZERS),
    ),
    Claim(
        2, "elu_resnet50", "ResNet-50 trained whole beats one trained in part, and one frozen",
        "whole > part > frozen",
        "4-class BCCD (the training folder, copies kept together) at 48 px, 2 epochs; MobileNetV2, "
        "because no ImageNet weights of ResNet-50 were at hand",
        {"whole": _transfer("resnet50_full"), "part": _transfer("resnet50_partial"),
         "frozen": _transfer("resnet50_frozen")},
        (Comparison("whole", "part"), Comparison("part", "frozen")),
    ),
    Claim(
        3, "pbc3200", "Squeeze-and-excitation helps, mostly in the deep stages", "+2.5 points",
        _PBC_WHERE,
        {"stages 3 and 4": _pbc(), "none": _pbc(model__squeeze=()),
         "stages 1 and 2": _pbc(model__squeeze=(1, 2))},
        (Comparison("stages 3 and 4", "none", 2.5), Comparison("stages 3 and 4", "stages 1 and 2")),
    ),
    Claim(
        4, "pbc3200", "Regularisation helps, and label smoothing alone does",
        "+4.38 points, label smoothing alone +1.9", _PBC_WHERE,
        {"all": _pbc(), "none": Arm("published/pbc3200", _PBC | _NO_REGULARISATION),
         "label smoothing alone": Arm(
             "published/pbc3200", _PBC | _NO_REGULARISATION | {"train.label_smoothing": 0.1})},
        (Comparison("all", "none", 4.38), Comparison("label smoothing alone", "none", 1.9)),
    ),
    Claim(
        5, "pbc3200", "A cosine beats a schedule in steps", "+3.29 points", _PBC_WHERE,
        {"cosine": _pbc(), "steps": _pbc(optim__schedule="step")},
        (Comparison("cosine", "steps", 3.29),),
    ),
    Claim(
        6, "pbc3200", "Augmentation helps", "+3.6 points", _PBC_WHERE,
        {"augmented": _pbc(), "plain": _pbc(augment__ops=())},
        (Comparison("augmented", "plain", 3.6),),
    ),
    Claim(
        7, "pbc3200", "SimpleCNN < ResNet-18 < EfficientNet-Lite < DeepEfficientNet by one recipe",
        "75.6, 84.7, 96.3, 99.4 %", _PBC_WHERE,
        {"DeepEfficientNet": _pbc(), "EfficientNet-Lite": _pbc("efficientnet_lite"),
         "ResNet-18": _pbc("resnet18"), "SimpleCNN": _pbc("simple_cnn")},
        (Comparison("DeepEfficientNet", "EfficientNet-Lite", 3.1),
         Comparison("EfficientNet-Lite", "ResNet-18", 11.6),
         Comparison("ResNet-18", "SimpleCNN", 9.1)),
    ),
    Claim(
        8, "pbc3200", "Mixed precision is 1.5 times as fast, with no loss", "1.5 times, no loss",
        f"{_PBC_WHERE}; on a CPU, where the project used a GPU",
        {"bfloat16": _pbc(model__dtype="bfloat16"), "float32": _pbc()},
        (Comparison("bfloat16", "float32", says="alike"),),
        faster=("bfloat16", "float32"), times=1.5,
    ),
    Claim(
        9, "edge_impulse", "Squashing a picture beats cropping it, which beats a letterbox",
        "86, 82, 75 %", _FROZEN_WHERE,
        {"squash": _frozen(), "crop": _frozen(data__resize="crop"),
         "letterbox": _frozen(data__resize="pad")},
        (Comparison("squash", "crop", 4), Comparison("crop", "letterbox", 7)),
    ),
    Claim(
        10, "edge_impulse", "Without colour the accuracy falls far", "86 to 34 %", _FROZEN_WHERE,
        {"colour": _frozen(), "grey": _frozen(data__grey=True)},
        (Comparison("colour", "grey", 52),),
    ),
    Claim(
        11, "edge_impulse", "64 neurons, 20 cycles and a learning rate of 5e-4 are the best",
        "best of 30 experiments", _FROZEN_WHERE, _SETTINGS,
        _each_below("64 neurons, 20 cycles, 5e-4", _SETTINGS),
    ),
    Claim(
        12, "edge_impulse",
        "MobileNetV2 beats a network of plain convolutions, which more filters help and larger "
        "kernels do not", "86, 78 %",
        f"MobileNetV2: {_FROZEN_WHERE}. Convolutions: 48 px, 4 epochs. Left out is MobileNetV1 "
        "(33 to 41 %), because no ImageNet weights of it were at hand",
        {"MobileNetV2": _frozen(), "convolutions": _conv2d(),
         "twice the filters": _conv2d(model__widths=(32, 64, 128, 256)),
         "kernels of 5x5": _conv2d(model__kernel_size=5)},
        (Comparison("MobileNetV2", "convolutions", 8),
         Comparison("twice the filters", "convolutions"),
         Comparison("kernels of 5x5", "convolutions", says="alike")),
    ),
    Claim(
        13, "an2dl_convnext",
        "Heavy augmentation helps where the test pictures are corrupted", "97 % with, 68 % without",
        "3,200 pictures of PBC at 64 px, the custom CNN, 10 epochs; 800 test pictures under noise, "
        "blur and another gamma, none of which is among the augmentations",
        {"heavy": _heavy(), "none": _heavy(augment__ops=())},
        (Comparison("heavy", "none", 29),), under=_CORRUPTIONS,
    ),
    Claim(
        14, "elu_resnet50", "Merging the folders before they are split flatters the figures",
        "not claimed: what the projects did", _ELU_WHERE,
        {"split at random": _conv2d(data__group_by=None, data__allow_leaks=True),
         "copies kept together": _conv2d()},
        (Comparison("split at random", "copies kept together"),),
    ),
    Claim(
        15, "bccd_raw", "Showing the rare classes more often helps them", "not stated",
        "263 whole smears of BCCD at 160 px, MobileNetV2 from ImageNet weights, 20 epochs",
        {"rare classes more often": _raw(), "as they are": _raw(train__sampling="natural")},
        (Comparison("rare classes more often", "as they are"),), metric="macro_f1",
    ),
)  # fmt: skip
