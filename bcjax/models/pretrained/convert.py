"""From a library's tensors to ours: named, turned, fitted, and each of them accounted for."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from bcjax.models.pretrained.expected import LOGITS, Expected
from bcjax.models.pretrained.layout import Layout, Tensors
from bcjax.runtime.errors import UserError

_FLATTENED = "params/head/dense1/kernel"  # of the networks that flatten their last map
_SHOWN = 3  # names listed in a message; the rest are counted
BACKGROUND = 1001  # outputs of TensorFlow's ImageNet networks, the first of which is "background"


@dataclasses.dataclass
class Fitting:
    """Tensors on their way to a network.

    Attributes:
      source: Where they are from.
      tensors: By our paths.
      names: What each was called in the file.
      notes: What was done that the user should know, in plain sentences.
      unknown: Names in the file of tensors that have no path.
    """

    source: str
    tensors: dict[str, np.ndarray]
    names: dict[str, str]
    notes: list[str]
    unknown: list[str]

    def named(self, path: str) -> str:
        return self.names.get(path, path)


def placed(layout: Layout, tensors: Tensors, blocks: Sequence[str], source: str) -> Fitting:
    """Gives tensors our paths and axes.

    Args:
      layout: How they are named and laid out.
      tensors: Of the file.
      blocks: Of the network, for layouts that count blocks through all stages.
      source: The file.
    """
    found: dict[str, np.ndarray] = {}
    names: dict[str, str] = {}
    unknown = []
    for name, tensor in layout.prepare(tensors).items():
        path = layout.place(name)
        if path is None or (counted := _counted(path)) >= len(blocks):
            unknown.append(name)
        elif path:
            path = path.replace(f"#{counted}", blocks[counted]) if counted >= 0 else path
            found[path] = layout.orient(path, tensor)
            names[path] = name
    return Fitting(source, dict(layout.finish(found)), names, list(layout.notes), unknown)


def _counted(path: str) -> int:
    """The number of a block after "#"; -1 where there is none."""
    counted = re.search(r"#(\d+)", path)
    return int(counted[1]) if counted else -1


def fold_biases(fitting: Fitting, expected: Expected) -> None:
    """Moves the bias of a convolution that a batch norm follows into the norm's mean: exact."""
    folded = 0
    for path in [p for p in fitting.tensors if p not in expected.shapes]:
        mean = path.replace("params/", "batch_stats/").replace("conv", "norm")
        mean = f"{mean.removesuffix('/bias')}/mean"
        if path.endswith("/bias") and mean in fitting.tensors and "conv" in path:
            bias = fitting.tensors.pop(path).astype(np.float32)
            fitting.tensors[mean] = fitting.tensors[mean].astype(np.float32) - bias
            folded += 1
    if folded:
        fitting.notes.append(f"Biases before batch norms became part of their means: {folded}.")


def choose_classifier(fitting: Fitting, expected: Expected, *, keep: bool) -> None:
    """Keeps the classifier, or drops it and what of the layers before it does not fit.

    Raises:
      UserError: If it is to be kept, and is not there or has another number of classes.
    """
    there = [path for path in LOGITS if path in fitting.tensors]
    asked = expected.shapes[LOGITS[1]][0]
    if keep and not there:
        raise UserError(f"{fitting.source} has no classifier to keep: drop it, for a new one.")
    if keep:
        count = fitting.tensors[LOGITS[1]].shape[-1]
        if count == BACKGROUND and asked == BACKGROUND - 1:
            for path in there:
                fitting.tensors[path] = fitting.tensors[path][..., 1:]
            fitting.notes.append("The first of 1,001 outputs, the background, was dropped.")
        elif count != asked:
            raise UserError(
                f"The classifier in {fitting.source} has {count} outputs, not {asked}: drop it, "
                "for a new one, or give as many classes."
            )
        return
    dropped = list(there)
    for path, tensor in fitting.tensors.items():
        if path.startswith("params/head/") and path not in there:
            fits = tensor.shape == expected.shapes.get(path)
            dropped += [] if fits else [path]
    for path in dropped:
        del fitting.tensors[path]
    if dropped:
        layers = sorted({path.split("/")[2] for path in dropped})
        fitting.notes.append(f"The classifier was dropped ({', '.join(layers)}): a new one learns.")


def fit(fitting: Fitting, expected: Expected) -> None:
    """Brings tensors to the network's shapes, where only axes of one element differ, or grey."""
    for path, tensor in fitting.tensors.items():
        shape = expected.shapes.get(path)
        if shape is None or tensor.shape == shape:
            continue
        if len(shape) == 4 and shape[2] == 1 and tensor.shape == (*shape[:2], 3, shape[3]):
            tensor = tensor.sum(axis=2, keepdims=True)
            fitting.notes.append(f"{path} was summed over red, green and blue, for grey pictures.")
        elif _squeezed(tensor.shape) == _squeezed(shape):
            tensor = tensor.reshape(shape)
        fitting.tensors[path] = tensor


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(side for side in shape if side != 1)


def check(fitting: Fitting, expected: Expected, *, model: str, optional: Sequence[str]) -> None:
    """Refuses what does not fit in every name and shape.

    Args:
      fitting: With all that is to be converted.
      expected: The network.
      model: Its name.
      optional: Paths that may be missing: those of a new classifier.

    Raises:
      UserError: Naming tensors that have no place, parameters without a tensor, and other shapes.
    """
    shapes = expected.shapes
    unknown = fitting.unknown + [fitting.named(p) for p in fitting.tensors if p not in shapes]
    missing = [p for p in shapes if p not in fitting.tensors and p not in optional]
    different = [
        f"{fitting.named(path)} is {tensor.shape} instead of {shapes[path]}"
        for path, tensor in fitting.tensors.items()
        if path in shapes and tensor.shape != shapes[path]
    ]
    if different and not unknown and not missing and all(_FLATTENED in name for name in different):
        raise UserError(
            f"{fitting.source} was made with pictures of another size, and the dense layers of "
            f"{model} take no other: set that image size, or drop the classifier."
        )
    faults = [
        _listed(unknown, "of its tensors have no place in the network"),
        _listed(missing, "of the network's have no tensor in the file"),
        _listed(different, "have another shape"),
    ]
    if any(faults):
        raise UserError(
            f"{fitting.source} does not fit {model}: {'; '.join(filter(None, faults))}: name the "
            "network that it was made for."
        )


def _listed(names: Sequence[str], what: str) -> str:
    """Returns "12 ... (a, b, c, ...)"; "" for no names."""
    if not names:
        return ""
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"{len(names)} {what} ({shown})"
