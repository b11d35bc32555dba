"""Which parameters of a network train, how fast, and what freezing the rest means for a step.

A path names a parameter, such as "stage4/block2/conv1/kernel". No network is known by name here:
its stages and the order of its layers are read off a trace of it.
"""

import contextlib
import dataclasses
import inspect
import itertools
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import traverse_util

from bcjax.runtime.errors import UserError

Params = dict[str, Any]
Layer = tuple[str, ...]  # the paths of the layer's parameters

_BLOCK = re.compile(r"[^/]+/block(\d+)/")


# What trains.


def layers_of(init: Callable[[], dict[str, Any]]) -> tuple[tuple[Layer, ...], dict[str, Any]]:
    """Returns the layers of a network in forward order, and the shapes of its variables.

    A layer is a module that holds a kernel (a convolution, a dense layer), together with the
    modules after it that hold none, such as norms and layer scales.

    Args:
      init: Makes the variables by calling the network; it is only traced.
    """
    finished: dict[str, None] = {}  # paths of modules in the order in which their first calls end

    def note(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        output = call(*args, **kwargs)
        if context.method_name == "__call__":
            finished.setdefault("/".join(context.module.path))
        return output

    with nn.intercept_methods(note):
        # A new function each time: JAX does not trace a function again that it has traced before.
        variables = jax.eval_shape(lambda: init())
    params = variables["params"]
    order = {path: position for position, path in enumerate(finished)}
    paths = sorted(traverse_util.flatten_dict(params, sep="/"), key=lambda p: order[_module_of(p)])
    layers: list[Layer] = []
    for _, group in itertools.groupby(paths, _module_of):
        held = tuple(group)
        if any(path.endswith("kernel") for path in held) or not layers:
            layers.append(held)
        else:
            layers[-1] += held
    return tuple(layers), variables


def select(pattern: str, layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """Returns the paths of the parameters that train, in forward order.

    Args:
      pattern: "all"; "last 30%" (of the layers, rounded, at least one); names of stages, such as
        "head" or "stage3, stage4, head"; or a regular expression that is searched for in each
        path, such as "norm" or "^stage4/block[23]/".
      layers: The layers of the network, from `layers_of`.

    Raises:
      UserError: If the pattern matches no parameter or is no regular expression.
    """
    everything = tuple(itertools.chain(*layers))
    stages = tuple(dict.fromkeys(stage_of(path) for path in everything))
    names = [name.strip() for name in pattern.split(",")]
    share = re.fullmatch(r"last\s+(\d+(?:\.\d*)?)\s*%", pattern.strip())
    if pattern.strip() == "all":
        return everything
    if share:
        if not 0 < float(share[1]) <= 100:
            raise UserError(
                f"finetune.trainable is {pattern!r}: give more than 0 %, 100 % at most."
            )
        count = max(1, round(len(layers) * float(share[1]) / 100))
        return tuple(itertools.chain(*layers[-count:]))
    if set(names) <= set(stages):
        return tuple(path for path in everything if stage_of(path) in names)
    try:
        matching = tuple(path for path in everything if re.search(pattern, path))
    except re.error as error:
        raise UserError(
            f"finetune.trainable is {pattern!r}, neither stages nor a regular expression: {error}."
        ) from error
    if not matching or not pattern:
        raise UserError(
            f"finetune.trainable is {pattern!r}, which matches no parameter: write all, "
            f"'last 30%', a regular expression, or stages of this network: {', '.join(stages)}."
        )
    return matching


def stage_of(path: str) -> str:
    """Returns the stage of a parameter: "stage4" for "stage4/block2/conv1/kernel"."""
    return path.partition("/")[0]


# How fast it trains.


def learning_rate_scales(paths: Sequence[str], decay: float) -> dict[str, float]:
    """Returns the factor on the learning rate of each parameter: decay ** depth.

    This is layer-wise learning-rate decay (Bao et al., BEiT, ICLR 2022, arXiv:2106.08254; after
    Clark et al., ELECTRA, arXiv:2003.10555). Depth counts blocks backwards from the classifier,
    which is at depth 0. A stage without blocks counts as one block; what a stage holds beside its
    blocks (a downsampling, a shortcut) belongs to the first of them.

    Args:
      paths: The paths of all parameters of the network, its stages in forward order.
      decay: The factor for each block, in (0, 1].
    """
    stages = list(dict.fromkeys(map(stage_of, paths)))

    def place(path: str) -> tuple[int, int]:
        block = _BLOCK.match(path)
        return stages.index(stage_of(path)), int(block[1]) if block else 1

    downward = sorted({place(path) for path in paths}, reverse=True)
    return {path: decay ** downward.index(place(path)) for path in paths}


def scale_by_path(scales: dict[str, float]) -> optax.GradientTransformation:
    """Multiplies the update of each parameter by the factor at its path.

    To be chained after the learning rate: updates are linear in it, so this scales the rate.
    """

    def scale(updates: optax.Updates, params: optax.Params | None) -> optax.Updates:
        del params
        return jax.tree.map_with_path(
            lambda path, update: (
                update * scales[jax.tree_util.keystr(path, simple=True, separator="/")]
            ),
            updates,
        )

    return optax.stateless(scale)


# What freezing the rest means.


@dataclasses.dataclass(frozen=True)
class Frozen:
    """The parameters that a training step leaves as they are; by default there are none.

    A step differentiates with respect to the other parameters alone, so nothing is computed for
    gradients below the first of them, and the optimizer keeps no state for frozen parameters.

    Attributes:
      parameters: The paths of the frozen parameters, such as "stem/conv/kernel".
      modules: The paths of the modules all of whose parameters are frozen.
      backbone: Whether everything is frozen except the classifier, which is the stage "head".
    """

    parameters: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    backbone: bool = False

    def divide(self, params: Params) -> tuple[Params, Params]:
        """Returns the parameters that train and those that are frozen; see `join`."""
        flat = traverse_util.flatten_dict(params, sep="/")
        trains = {path: leaf for path, leaf in flat.items() if path not in self.parameters}
        frozen = {path: leaf for path, leaf in flat.items() if path in self.parameters}
        return _nested(trains), _nested(frozen)

    def where(self, frozen: Params, trains: Params) -> Params:
        """Returns the leaf of `frozen` where it is frozen and of `trains` elsewhere.

        Args:
          frozen: Variables of the network, {"params": ..., "batch_stats": ...}. The statistics of
            a module are frozen when all of its parameters are.
          trains: Another tree of the same structure.
        """

        def choose(path: tuple, one: Any, other: Any) -> Any:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            collection, _, name = name.partition("/")
            if collection == "params":
                return one if name in self.parameters else other
            return one if name.rpartition("/")[0] in self.modules else other

        return jax.tree.map_with_path(choose, frozen, trains)

    def in_inference(self) -> contextlib.AbstractContextManager:
        """Within this context frozen modules run with `train=False`, whatever the caller passes.

        Batch norm then normalises with its running statistics and leaves them unchanged, and there
        is neither dropout nor drop path. A layer without parameters follows the module around it.
        """
        return nn.intercept_methods(self._call)

    def _call(self, call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        path = "/".join(context.module.path)
        features = context.method_name == "features" and not path and self.backbone
        if features or (context.method_name == "__call__" and path in self.modules):
            bound = inspect.signature(context.orig_method).bind(*args, **kwargs)
            bound.apply_defaults()
            if "train" in bound.arguments:
                bound.arguments["train"] = False
                return call(*bound.args, **bound.kwargs)
        return call(*args, **kwargs)


NOTHING_FROZEN = Frozen()


def join(trains: Params, frozen: Params) -> Params:
    """Returns the whole tree that `Frozen.divide` divided."""
    flat = (traverse_util.flatten_dict(part, sep="/") for part in (trains, frozen))
    return _nested(dict(itertools.chain(*(part.items() for part in flat))))


def freeze_all_but(trains: Collection[str], parameters: Collection[str]) -> Frozen:
    """Returns what is frozen where only those of `parameters` that are in `trains` train."""
    frozen = frozenset(parameters) - frozenset(trains)
    backbone = {path for path in parameters if not path.startswith("head/")}
    return Frozen(
        parameters=frozen,
        modules=_modules_above(frozen) - _modules_above(trains),
        backbone=bool(backbone) and backbone <= frozen,
    )


def uses_batch_statistics(model: nn.Module, frozen: Frozen, shape: Sequence[int]) -> bool:
    """Whether a layer of the network normalises each training batch by the batch's own statistics.

    Args:
      model: The network, which is only traced.
      frozen: The parameters that do not train: their batch norms use the running averages.
      shape: The shape of a batch of pictures, (B, H, W, C).
    """
    moved: list[tuple[str, ...]] = []

    def trace() -> None:
        pictures, key = jnp.zeros(shape), jax.random.key(0)
        variables = model.init(key, pictures, train=False)
        with frozen.in_inference():
            _, updated = model.apply(
                variables, pictures, train=True, mutable=["batch_stats"], rngs={"dropout": key}
            )
        before = traverse_util.flatten_dict(variables.get("batch_stats", {}))
        after = traverse_util.flatten_dict(updated.get("batch_stats", {}))
        # What no layer assigned is the same object.
        moved.extend(path for path, leaf in after.items() if leaf is not before[path])

    jax.eval_shape(trace)
    return bool(moved)


def _module_of(path: str) -> str:
    return path.rpartition("/")[0]


def _modules_above(paths: Collection[str]) -> frozenset[str]:
    """Returns the paths of all modules that contain these parameters, directly or not."""
    parts = [path.split("/")[:-1] for path in paths]
    return frozenset("/".join(p[:depth]) for p in parts for depth in range(len(p) + 1))


def _nested(flat: dict[str, Any]) -> Params:
    return traverse_util.unflatten_dict(flat, sep="/")
