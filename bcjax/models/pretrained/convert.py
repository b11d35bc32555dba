"""From a library's tensors to a network's: placed, turned, fitted, and each accounted for.

A file either names its tensors, and a `Naming` places them, or has them in the order of the layers:
see `layer_order`.
"""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from bcjax.config import ImageSize
from bcjax.models.norm import Norm
from bcjax.models.pretrained.naming import Naming, Tensors
from bcjax.models.table import MODELS
from bcjax.runtime.errors import UserError

LOGITS = ("params/head/logits/kernel", "params/head/logits/bias")
BACKGROUND = 1001  # outputs of TensorFlow's ImageNet networks, the first of which is "background"

_FLATTENED = "params/head/dense1/kernel"  # of the networks that flatten their last map
# In a config, and as a flag of import-weights.
DROP = "model.weights_head=drop (--head=drop)"
_LISTED = 3  # names listed in a message; the rest are counted


@dataclasses.dataclass(frozen=True)
class NetworkTensors:
    """The tensors that a network has, to which weights are fitted.

    Attributes:
      shapes: The shape of each tensor by its path, such as "params/stem/conv/kernel"; first the
        parameters, in the order in which a picture meets them, then the statistics.
      epsilons: The epsilon of each normalisation with statistics, by its path, such as "stem/norm".
      blocks: The paths of all blocks, such as "stage1/block1", in order through all stages.
    """

    shapes: Mapping[str, tuple[int, ...]]
    epsilons: Mapping[str, float]
    blocks: tuple[str, ...]

    @property
    def classifier(self) -> tuple[str, str]:
        """The paths of the kernel and the bias of the layer that gives the logits."""
        kernel = [path for path in self.shapes if path.endswith("/kernel")][-1]
        return kernel, kernel.replace("/kernel", "/bias")


def network_tensors(model: nn.Module, size: ImageSize, channels: int) -> NetworkTensors:
    """Returns the tensors of a network from a trace; nothing is computed.

    Raises:
      UserError: The network takes no pictures of that size.
    """
    epsilons: dict[str, float] = {}
    shapes: dict[str, tuple[int, ...]] = {}

    def note(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if isinstance(context.module, Norm):
            epsilons["/".join(context.module.path)] = context.module.epsilon
        return call(*args, **kwargs)

    def init() -> None:
        pictures = jnp.zeros((1, *size, channels))
        with nn.intercept_methods(note):
            variables = model.init(jax.random.key(0), pictures, train=False)
        # Inside the traced function, because what `eval_shape` returns is sorted by name.
        for collection in ("params", "batch_stats"):
            leaves = traverse_util.flatten_dict(variables.get(collection, {}), sep="/")
            shapes.update({f"{collection}/{path}": leaf.shape for path, leaf in leaves.items()})

    jax.eval_shape(init)
    blocks = (re.match(r"params/(stage\d+/block\d+)/", path) for path in shapes)
    return NetworkTensors(
        shapes=shapes,
        epsilons={n: e for n, e in epsilons.items() if f"batch_stats/{n}/mean" in shapes},
        blocks=tuple(dict.fromkeys(found[1] for found in blocks if found)),
    )


@dataclasses.dataclass
class Fitting:
    """Tensors on their way from a file to a network; each step changes them in place.

    Attributes:
      source: The file.
      tensors: The tensors by our paths.
      names: The name of each in the file, by our paths.
      notes: What was done that the user should know, in plain sentences.
      unknown: The names in the file that have no path.
      published: The network of the table that has as many parameters; "" if there is none.
    """

    source: str
    tensors: dict[str, np.ndarray]
    names: dict[str, str]
    notes: list[str]
    unknown: list[str]
    published: str

    def named(self, path: str) -> str:
        return self.names.get(path, path)


def place_by_name(naming: Naming, tensors: Tensors, blocks: Sequence[str], source: str) -> Fitting:
    """Gives tensors our paths and our order of axes.

    Args:
      naming: How the tensors are named and laid out.
      tensors: The tensors of the file.
      blocks: The paths of the network's blocks, for namings that count through all stages.
      source: The file.
    """
    found: dict[str, np.ndarray] = {}
    names: dict[str, str] = {}
    unknown, sizes = [], {}
    for name, tensor in naming.prepare(tensors).items():
        path = naming.place(name)
        sizes[path] = tensor.size
        counted = re.search(r"#(\d+)", path or "")
        if path is None or (counted and int(counted[1]) > len(blocks)):
            unknown.append(name)
        elif path:
            path = path.replace(counted[0], blocks[int(counted[1]) - 1]) if counted else path
            found[path] = naming.orient(path, tensor)
            names[path] = name
    parameters = sum(size for path, size in sizes.items() if path and path.startswith("params/"))
    published = network_of_size(parameters, *(sizes.get(path, 0) for path in LOGITS))
    fitted = dict(naming.finish(found))
    return Fitting(source, fitted, names, list(naming.notes), unknown, published)


def network_of_size(parameters: int, kernel: int, bias: int) -> str:
    """Returns the first network of the table with as many parameters; "" if there is none.

    Args:
      parameters: The number of parameters, the classifier's last layer included.
      kernel: The size of that layer's kernel.
      bias: The number of its outputs.
    """
    others = parameters - kernel - bias
    features = kernel // max(bias, 1)
    sizes = {name: info.parameters - 1000 * (features + 1) for name, info in MODELS.items()}
    return next((name for name, size in sizes.items() if bias and size == others), "")


def fold_biases(fitting: Fitting, expected: NetworkTensors) -> None:
    """Moves the bias of a convolution before a batch norm into the norm's mean, which is exact."""
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


def choose_classifier(fitting: Fitting, expected: NetworkTensors, *, keep: bool) -> None:
    """Keeps the classifier, or drops it together with those of its layers that do not fit.

    Raises:
      UserError: It should be kept, and is missing or has another number of classes.
    """
    kernel, _ = expected.classifier
    there = [path for path in expected.classifier if path in fitting.tensors]
    if keep and kernel not in there:
        raise UserError(f"{fitting.source} has no classifier to keep: set {DROP}.")
    if keep:
        wanted, count = expected.shapes[kernel][-1], fitting.tensors[kernel].shape[-1]
        if count == BACKGROUND and wanted == BACKGROUND - 1:
            for path in there:
                fitting.tensors[path] = fitting.tensors[path][..., 1:]
            fitting.notes.append("The first of 1,001 outputs, the background, was dropped.")
        elif count != wanted:
            raise UserError(
                f"The classifier in {fitting.source} has {count} outputs, not {wanted}: drop it, "
                f"for a new one, by {DROP}, or give as many classes."
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
        layers = sorted({path.split("/")[-2] for path in dropped})
        fitting.notes.append(f"The classifier was dropped ({', '.join(layers)}): a new one learns.")


def fit(fitting: Fitting, expected: NetworkTensors) -> None:
    """Reshapes tensors that differ only by axes of one element, and sums RGB kernels for grey."""
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


def check(
    fitting: Fitting, expected: NetworkTensors, *, model: str, optional: Sequence[str]
) -> None:
    """Checks that the tensors fit the network in every name and shape.

    Args:
      fitting: The tensors.
      expected: The tensors that the network has.
      model: The name of the network.
      optional: The paths that may be missing: those of a new classifier.

    Raises:
      UserError: Tensors have no place, parameters have no tensor, or shapes differ.
    """
    shapes = expected.shapes
    homeless = [path for path in fitting.tensors if path not in shapes]
    missing = [path for path in shapes if path not in fitting.tensors and path not in optional]
    different = {
        path: tensor.shape
        for path, tensor in fitting.tensors.items()
        if path in shapes and tensor.shape != shapes[path]
    }
    unknown = fitting.unknown + [fitting.named(path) for path in homeless]
    shown = [
        f"{fitting.named(p)} is {shape} instead of {shapes[p]}" for p, shape in different.items()
    ]
    faults = [
        _listed(unknown, "of its tensors have no place in the network"),
        _listed(missing, "of the network's have no tensor in the file"),
        _listed(shown, "have another shape"),
    ]
    if any(faults):
        own = "" if fitting.unknown else _own_mend(fitting, expected, homeless, missing, different)
        raise UserError(
            f"{fitting.source} does not fit {model}: {'; '.join(filter(None, faults))}: "
            f"{own or network_mend(fitting.published, model)}."
        )


def _own_mend(
    fitting: Fitting,
    expected: NetworkTensors,
    homeless: Sequence[str],
    missing: Sequence[str],
    different: Mapping[str, tuple[int, ...]],
) -> str:
    """Returns which setting of the same network the tensors ask for; "" if it is another network.

    Args:
      fitting: The tensors.
      expected: The tensors that the network has.
      homeless: The paths that the network does not have.
      missing: The paths without a tensor.
      different: The shapes of the tensors that have another in the network.
    """
    faulty = {*homeless, *missing, *different}
    stem = next((path for path, shape in expected.shapes.items() if len(shape) == 4), "")
    if all(path.startswith("batch_stats/") for path in faulty):
        if homeless:
            return "set model.norm=batch, whose running averages they have"
        return "they have no running averages of a batch norm: set model.norm=group or layer"
    if faulty == different.keys() == {stem} and different[stem][:2] != expected.shapes[stem][:2]:
        small = different[stem][0] < expected.shapes[stem][0]
        size = "x".join(map(str, different[stem][:2]))
        return f"their first convolution is {size}: set model.small_stem={str(small).lower()}"
    if faulty == different.keys() == {stem}:
        channels = different[stem][2]
        return f"they were made for pictures of {channels} channels: set model.channels={channels}"
    if all(path.startswith("params/head/") for path in faulty):
        flattened = different.get(_FLATTENED, (0, 0))
        if faulty == {_FLATTENED} and flattened[1] == expected.shapes[_FLATTENED][1]:
            return (
                "they were made with pictures of another size, and dense layers take no other: set "
                f"that data.image_size, or {DROP}"
            )
        dense = (f"params/head/dense{i}/kernel" for i in itertools.count(1))
        there = itertools.takewhile(fitting.tensors.__contains__, dense)
        hidden = tuple(fitting.tensors[path].shape[-1] for path in there)
        return hidden_mend(hidden)
    return ""


def hidden_mend(hidden: tuple[int, ...]) -> str:
    """Returns how the classifier is kept, or a new one learnt."""
    return f"set model.hidden={hidden} to keep the classifier, or {DROP} for a new one"


def network_mend(published: str, model: str) -> str:
    """Returns which network to name.

    Args:
      published: The network of the table that has as many parameters as the weights; "" for none.
      model: The network that they do not fit.
    """
    if not published:
        return "name the network that it was made for"
    if MODELS[published].parameters == MODELS[model].parameters:
        return f"leave out what changes the layers of {model}, such as model.alpha"
    return f"they have the size of {published}: set model.name={published}"


def _listed(names: Sequence[str], what: str) -> str:
    """Returns "12 ... (a, b, c, ...)"; "" for no names."""
    if not names:
        return ""
    shown = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return f"{len(names)} {what} ({shown})"
