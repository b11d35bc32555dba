"""What the table of networks says about each of them."""

import dataclasses
import functools
import inspect
from collections.abc import Callable

from flax import linen as nn

Triple = tuple[float, float, float]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One network of the table.

    Attributes:
      build: The module's class, or a partial of it that fixes what makes this variant.
      input_size: Side in pixels of the pictures it was published with.
      parameters: Number of parameters for 1,000 classes and RGB pictures of that size.
      macs: Multiply-adds of its convolutions and dense layers for one such picture.
      stages: Top-level names of the parameters, from the picture to the logits.
      paper: Where it was published.
      mean: Of each channel, in units where a picture spans [0, 1]; subtracted from the picture.
      std: Of each channel, in the same units; divides the picture after that.
    """

    build: Callable[..., nn.Module]
    input_size: int
    parameters: int
    macs: int
    stages: tuple[str, ...]
    paper: str
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD

    @property
    def options(self) -> tuple[str, ...]:
        """The names that `create` takes beside `classes` and `dtype`.

        They are the module's fields that have a default, which a partial may set anew. Those
        without one (depths, widths) are what makes the variant.
        """
        module = self.build.func if isinstance(self.build, functools.partial) else self.build
        fields = inspect.signature(module).parameters.values()
        taken = {"classes", "dtype", "parent", "name"}
        return tuple(f.name for f in fields if f.default is not f.empty and f.name not in taken)
