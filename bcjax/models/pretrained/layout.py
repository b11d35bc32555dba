"""How a library names the tensors of a family of networks, and how it lays them out."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bcjax.models.layers import Convention

# From name to array. In a file by the library's names; converted by our paths, such as
# "params/stage1/block1/conv1/kernel" and "batch_stats/stem/norm/mean".
Tensors = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Rule:
    """Where the tensors go whose names match a pattern.

    Attributes:
      pattern: A regular expression for the whole name.
      path: From the pattern's groups to our path; "": known, and not needed. A block may stand as
        "#12", counted from 0 through all stages.
    """

    pattern: str
    path: Callable[..., str]

    def __call__(self, name: str) -> str | None:
        """Returns our path for a name; "" if it is not needed; None if it is not known here."""
        match = re.fullmatch(self.pattern, name)
        return None if match is None else self.path(*match.groups())


def unneeded(pattern: str) -> Rule:
    """A rule for tensors that are known and not needed, such as counters."""
    return Rule(pattern, lambda *groups: "")


def from_torch(path: str, tensor: np.ndarray) -> np.ndarray:
    """Turns PyTorch's kernels, OIHW and OI, into ours, HWIO and IO; leaves the rest."""
    if path.endswith("/kernel"):
        axes = {4: (2, 3, 1, 0), 2: (1, 0)}
        return tensor.transpose(axes.get(tensor.ndim, range(tensor.ndim)))
    return tensor


def as_is(tensors: Tensors) -> Tensors:
    return tensors


@dataclasses.dataclass(frozen=True)
class Layout:
    """One library's naming of one family.

    Attributes:
      source: The library: "torchvision", "timm", "transformers" or "keras".
      convention: Whose arithmetic its weights expect.
      rules: Tried in order; the first that knows a name decides.
      orient: From (our path, tensor) to the tensor with our axes.
      prepare: Changes all tensors of a file, still under their own names, before the rules: for
        files whose names say too little.
      finish: Changes all tensors under our paths, after `orient`: for what more than one tensor,
        or a tensor's values, decide. It may leave the bias of a convolution that is followed by a
        batch norm: that is folded afterwards.
      settings: What else these weights want, as keys of `Imported.about` ("mean", "std",
        "input_size", "resize", "crop_fraction"), where it differs from the network's entry.
      settings_in: From the tensors of a file, under their own names, to what they say of that.
      notes: What the user should be told, in plain sentences.
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
        """Returns where a tensor goes, as a `Rule` does."""
        return next((path for rule in self.rules if (path := rule(name)) is not None), None)
