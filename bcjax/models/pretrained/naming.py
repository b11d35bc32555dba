"""How a library names the tensors of a family of networks, and in what order their axes are."""

import dataclasses
import functools
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


_PLACEHOLDER = re.compile(r"\{(\w+):(\*|[a-z]|-?\d)(?:\+(\d))?\}")


@dataclasses.dataclass(frozen=True)
class Rule:
    """The place of the tensors whose names have one form.

    Placeholders in the library's name stand for what varies. "{block:0}" is a number, 0 for the
    first block; "{block:0+2}" is 0 for the first, 2 for the second, 4 for the third; "{block:a}" is
    a letter, a for the first; "{rest:*}" is any text. In our path, "{block}" is the block's number
    counted from 1, and "{rest}" is the text.

    Attributes:
      name: The library's name of a layer or a tensor, with placeholders.
      path: Our path for it, with placeholders; "" for a tensor that is known and not needed.
        "#{block}" stands for the path of a block that is counted through all stages.
      leaves: From the ends of the names of a layer's tensors to our paths for them, in which "{}"
        is the layer's path; by default the name is that of a tensor.
    """

    name: str
    path: str
    leaves: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"": "{}"})

    def __call__(self, name: str) -> str | None:
        """Returns our path for a name; "" if it is not needed; None if it has another form."""
        found = self._form.fullmatch(name)
        if found is None:
            return None
        values: dict[str, str | int] = {}
        for key, first, step in _PLACEHOLDER.findall(self.name):
            text = found[key]
            if first == "*":
                values[key] = text
                continue
            number = ord(text) - ord(first) if first.isalpha() else int(text) - int(first)
            if number < 0 or number % int(step or 1):
                return None
            values[key] = number // int(step or 1) + 1
        return self.leaves[found["leaf"]].format(self.path.format(**values))

    @functools.cached_property
    def _form(self) -> re.Pattern[str]:
        """The form of a tensor's name, with a group for each placeholder."""
        form, end = "", 0
        for found in _PLACEHOLDER.finditer(self.name):
            what = ".*" if found[2] == "*" else "[a-z]" if found[2].isalpha() else r"\d+"
            form += f"{re.escape(self.name[end : found.start()])}(?P<{found[1]}>{what})"
            end = found.end()
        leaves = "|".join(map(re.escape, self.leaves))
        return re.compile(f"{form}{re.escape(self.name[end:])}(?P<leaf>{leaves})")


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


# PyTorch's libraries

_KERNEL = {".weight": "params/{}/kernel", ".bias": "params/{}/bias"}
_NORM = {
    ".weight": "params/{}/scale",
    ".bias": "params/{}/bias",
    ".running_mean": "batch_stats/{}/mean",
    ".running_var": "batch_stats/{}/var",
}
# The steps that batch norm counted, which are not needed.
_COUNTERS = Rule("{layer:*}.num_batches_tracked", "")


def _rule(name: str, path: str) -> Rule:
    if not path or path.startswith("params/"):
        return Rule(name, path)
    return Rule(name, path, _NORM if "norm" in path.rpartition("/")[2] else _KERNEL)


def torch_naming(
    source: str, layers: Mapping[str, str], convention: Convention = "torch", **fields: Any
) -> Naming:
    """Returns the naming of a library of PyTorch's.

    Args:
      source: The library.
      layers: From its names of layers to our paths, of which those of normalisations have "norm" in
        their last part; a path that begins with "params/" is that of one tensor, and "" stands
        for tensors that are not needed.
      convention: The arithmetic that its weights expect.
      **fields: Other fields of the naming.
    """
    rules = (*(_rule(name, path) for name, path in layers.items()), _COUNTERS)
    return Naming(source, convention, rules, **{"settings": IMAGENET, **fields})
