"""How a library names the tensors of a family of networks, and in what order their axes are."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bcjax.models.layers import Convention
from bcjax.models.network import IMAGENET_MEAN, IMAGENET_STD

# Arrays by name: in a file the library's names, and after conversion our paths, such as
# "params/stage1/block1/conv1/kernel" and "batch_stats/stem/norm/mean".
Tensors = Mapping[str, np.ndarray]

# What weights for ImageNet want unless the library or a file beside them says otherwise.
IMAGENET = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "resize": "crop", "crop_fraction": 0.875}


@dataclasses.dataclass(frozen=True)
class Rule:
    """The place of all tensors whose names match a pattern.

    Attributes:
      pattern: A regular expression for the whole name.
      path: A function from the pattern's groups to our path, or to "" for a tensor that is known
        and not needed. In the path, "#12" stands for block 12, counted from 0 through all stages.
    """

    pattern: str
    path: Callable[..., str]

    def __call__(self, name: str) -> str | None:
        """Returns our path for a name; "" if it is not needed; None if it does not match."""
        match = re.fullmatch(self.pattern, name)
        return None if match is None else self.path(*match.groups())


def unneeded(pattern: str) -> Rule:
    """Returns a rule for tensors that are known and not needed, such as counters."""
    return Rule(pattern, lambda *groups: "")


def layer_rule(
    pattern: str, module: str | Callable[..., str], leaves: Mapping[str, str], separator: str
) -> Rule:
    """Returns a rule for the tensors of one kind of layer.

    Args:
      pattern: A regular expression for the name of the layer.
      module: The path of our layer, or a function to it from the pattern's groups, in which numbers
        come as int.
      leaves: From the library's name of a tensor of the layer to our path, with {} for the layer's.
      separator: What the library writes between the names of the layer and the tensor.
    """

    def path(*groups: str) -> str:
        *where, leaf = groups
        numbered = [int(group) if group.isdigit() else group for group in where]
        return leaves[leaf].format(module if isinstance(module, str) else module(*numbered))

    return Rule(rf"{pattern}{re.escape(separator)}({'|'.join(leaves)})", path)


def from_torch(path: str, tensor: np.ndarray) -> np.ndarray:
    """Turns PyTorch's kernels, OIHW and OI, into ours, HWIO and IO; other tensors stay."""
    if path.endswith("/kernel"):
        axes = {4: (2, 3, 1, 0), 2: (1, 0)}
        return tensor.transpose(axes.get(tensor.ndim, range(tensor.ndim)))
    return tensor


def as_is(tensors: Tensors) -> Tensors:
    return tensors


@dataclasses.dataclass(frozen=True)
class Naming:
    """How one library names and lays out the tensors of one family of networks.

    Attributes:
      source: The library: "torchvision", "timm", "transformers" or "keras".
      convention: The arithmetic that its weights expect.
      rules: The rules, in order; the first that matches a name decides.
      orient: A function from (our path, tensor) to the tensor with our order of axes.
      prepare: A function that changes all tensors of a file, under their own names, before the
        rules: for files whose names say too little.
      finish: A function that changes all tensors, under our paths, after `orient`: for what several
        tensors or their values decide. It may leave the bias of a convolution before a batch norm,
        which is folded into the norm afterwards.
      settings: What else these weights want where it differs from the network's entry in the table:
        "mean", "std", "input_size", "resize", "crop_fraction", "epsilon".
      settings_in: A function from the tensors of a file, under their own names, to the settings
        that they contain.
      notes: What the user should know, in plain sentences.
    """

    source: str
    convention: Convention
    rules: Sequence[Rule]
    orient: Callable[[str, np.ndarray], np.ndarray] = from_torch
    prepare: Callable[[Tensors], Tensors] = as_is
    finish: Callable[[Tensors], Tensors] = as_is
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings_in: Callable[[Tensors], Mapping[str, Any]] = lambda tensors: {}
    notes: Sequence[str] = ()

    def place(self, name: str) -> str | None:
        """Returns our path for a tensor's name, as a `Rule` does."""
        return next((path for rule in self.rules if (path := rule(name)) is not None), None)
