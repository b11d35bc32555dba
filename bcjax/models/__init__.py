"""The table of networks: one name each, with what was published about it.

A network is a linen module `(images, train) -> logits` with a method `features(images, train)`.
It computes in `dtype` and keeps parameters, statistics and logits in float32. Its stages are the
top-level names of its parameters, so that freezing and layer decay can speak of them.
"""

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from bcjax.errors import UserError
from bcjax.models.elu_cnn import EluCNN
from bcjax.models.resnet import BasicBlock, Bottleneck, ResNet

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

Triple = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One network of the table.

    Attributes:
      build: The module's class, or a partial of it that fixes what makes this variant.
      input_size: Side in pixels of the pictures it was published with.
      parameters: Number of parameters for 1,000 classes and RGB pictures.
      stages: Top-level names of the parameters, from the picture to the logits.
      paper: Where it was published.
      mean: Of each channel, in units where a picture spans [0, 1]; subtracted from the picture.
      std: Of each channel, in the same units; divides the picture after that.
    """

    build: Callable[..., nn.Module]
    input_size: int
    parameters: int
    stages: tuple[str, ...]
    paper: str
    mean: Triple = (0.485, 0.456, 0.406)  # ImageNet's
    std: Triple = (0.229, 0.224, 0.225)

    @property
    def options(self) -> tuple[str, ...]:
        """The names that `create` takes beside `classes` and `dtype`."""
        taken = {"classes", "dtype", "parent", "name"}
        if isinstance(self.build, functools.partial):
            taken.update(self.build.keywords)
        return tuple(name for name in inspect.signature(self.build).parameters if name not in taken)


_resnet = functools.partial(
    Entry,
    input_size=224,
    stages=("stem", "stage1", "stage2", "stage3", "stage4", "head"),
    paper="He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385",
)

MODELS: dict[str, Entry] = {
    "elu_cnn": Entry(
        EluCNN,
        input_size=96,
        parameters=1_681_320,
        stages=("stage1", "stage2", "stage3", "stage4", "stage5", "head"),
        paper="Kandel and Castelli, Applied Sciences 2020",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    ),
    "resnet18": _resnet(
        functools.partial(ResNet, depths=(2, 2, 2, 2), block=BasicBlock), parameters=11_689_512
    ),
    "resnet50": _resnet(
        functools.partial(ResNet, depths=(3, 4, 6, 3), block=Bottleneck), parameters=25_557_032
    ),
}


def create(name: str, *, classes: int, dtype: str = "float32", **options: Any) -> nn.Module:
    """Builds a network of the table.

    Args:
      name: A key of `MODELS`.
      classes: Number of logits.
      dtype: Of the computation, "float32" or "bfloat16".
      **options: The network's own; `MODELS[name].options` lists them.

    Raises:
      UserError: The name, the dtype or an option is not one of those, or a dropout not in [0, 1).
    """
    if name not in MODELS:
        raise UserError(f"There is no model {name!r}: did you mean {_nearest(name, MODELS)!r}?")
    if dtype not in DTYPES:
        raise UserError(f"The model cannot compute in {dtype!r}: choose float32 or bfloat16.")
    entry = MODELS[name]
    for option in options:
        if option not in entry.options:
            raise UserError(
                f"The model {name} has no option {option!r}: did you mean "
                f"{_nearest(option, entry.options)!r}?"
            )
    if not 0 <= options.get("dropout", 0) < 1:
        raise UserError(f"A dropout of {options['dropout']} is not in [0, 1): 0.2 is customary.")
    return entry.build(classes=classes, dtype=DTYPES[dtype], **options)


def _nearest(word: str, words: Iterable[str]) -> str:
    return difflib.get_close_matches(word, words, n=1, cutoff=0.0)[0]
