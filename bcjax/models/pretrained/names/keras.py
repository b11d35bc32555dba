"""What Keras applications share: how layers name their variables, and what stands around them."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from bcjax.models.pretrained.layout import Layout, Rule, Tensors

# What weights of Keras applications want unless the application says otherwise.
IMAGENET = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "resize": "crop",
    "crop_fraction": 0.875,
}

_LEAVES = {
    "kernel": "params/{}/kernel",
    "bias": "params/{}/bias",
    "gamma": "params/{}/scale",
    "beta": "params/{}/bias",
    "moving_mean": "batch_stats/{}/mean",
    "moving_variance": "batch_stats/{}/var",
}

# The layers of a network that have variables, in the order of `model.layers`: class and name.
Layers = Iterable[tuple[str, str]]


def layer(pattern: str, module: str | Callable[..., str]) -> Rule:
    """A rule for a convolution, a dense layer or a normalisation.

    Args:
      pattern: Of the layer's name.
      module: Its path in ours, or a function to that from the pattern's groups, of which numbers
        come as int.
    """

    def path(*groups: str) -> str:
        *where, leaf = groups
        known = [int(group) if group.isdigit() else group for group in where]
        return _LEAVES[leaf].format(module if isinstance(module, str) else module(*known))

    return Rule(rf"{pattern}/({'|'.join(_LEAVES)})", path)


def application(rules: Sequence[Rule], networks: Iterable[Layers], **fields: Any) -> Layout:
    """The layout of a family of Keras applications, alone or inside a model made for transfer.

    Args:
      rules: For the layers of the application.
      networks: The layers of each network of the family, without the classifier.
      **fields: The layout's others.
    """
    known = (
        *rules,
        # As earlier versions named it, too.
        layer("(?:predictions|probs|Logits)", "head/logits"),
        Rule("(head/.+)", lambda name: f"params/{name}"),
    )
    places = [_places(layers) for layers in networks]

    def prepare(tensors: Tensors) -> Tensors:
        return _with_head(_named(tensors, places), known)

    return Layout(
        **{"source": "keras", "convention": "tf", "settings": IMAGENET, **fields},
        rules=known,
        # What is a dense layer in one library and a 1x1 convolution in the other, and a depthwise
        # kernel, (h, w, C, 1) or (h, w, 1, C), have their numbers in the same order.
        orient=lambda path, tensor: tensor,
        prepare=prepare,
    )


def _places(layers: Layers) -> Mapping[str, str]:
    """Returns the names of layers by their places in a file that has only those."""
    count: Counter[str] = Counter()
    places = {}
    for kind, name in layers:
        places[f"{kind}_{count[kind]}".removesuffix("_0")] = name
        count[kind] += 1
    return places


def _layers(names: Collection[str]) -> set[str]:
    return {name.rpartition("/")[0] for name in names} - {""}


def _renamed(tensors: Tensors, layers: Mapping[str, str]) -> Tensors:
    split = ((*name.rpartition("/"), tensor) for name, tensor in tensors.items())
    return {f"{layers.get(at, at)}{slash}{leaf}": tensor for at, slash, leaf, tensor in split}


def _named(tensors: Tensors, networks: Sequence[Mapping[str, str]]) -> Tensors:
    """Names the layers in files of Keras before 3.6, which have only their classes and numbers."""
    found = _layers(tensors)
    # The network is the whole model, or is nested in it.
    models = {place[: at.end()] for place in found for at in re.finditer("layers/", place)}
    for model, places in itertools.product(sorted(models), networks):
        names = {f"{model}{place}": name for place, name in places.items()}
        if names.keys() <= found:
            named = _renamed(tensors, names)
            # With convolutions left over it is a deeper network.
            if all(x.ndim < 4 for name, x in named.items() if name.startswith(model)):
                return named
    return tensors


def _with_head(tensors: Tensors, rules: Sequence[Rule]) -> Tensors:
    """Names the user's own layers behind the application as a head, one dense layer as its own."""
    unknown = [name for name in tensors if all(rule(name) is None for rule in rules)]
    if len(unknown) == len(tensors) or any(tensors[name].ndim == 4 for name in unknown):
        return tensors  # another network, with its own convolutions
    dense = [name for name in unknown if name.endswith("/kernel")]
    if len(dense) == 1 and len(unknown) <= 2:
        return _renamed(tensors, dict.fromkeys(_layers(dense), "predictions"))
    return _renamed(tensors, {at: f"head/{at.rpartition('/')[2]}" for at in _layers(unknown)})
