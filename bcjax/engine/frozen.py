"""What of a network does not train, and what that means for a step."""

import contextlib
import dataclasses
import inspect
import itertools
from collections.abc import Callable, Collection
from typing import Any

import jax
from flax import linen as nn
from flax import traverse_util

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Frozen:
    """The parameters that a step leaves as they are; by default none.

    A step differentiates with respect to the others alone, so that nothing is computed for the
    gradient below the first of them, and its optimizer has never heard of these.

    Attributes:
      parameters: Their paths, "stem/conv/kernel".
      modules: Paths of the modules that hold parameters, none of which trains.
      backbone: Whether all is frozen but the classifier, the stage "head".
    """

    parameters: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    backbone: bool = False

    def divide(self, params: Params) -> tuple[Params, Params]:
        """Returns what trains, and what does not; `join` puts them together again."""
        flat = traverse_util.flatten_dict(params, sep="/")
        trains = {path: leaf for path, leaf in flat.items() if path not in self.parameters}
        fixed = {path: leaf for path, leaf in flat.items() if path in self.parameters}
        return _nested(trains), _nested(fixed)

    def where(self, fixed: Params, trains: Params) -> Params:
        """Returns `fixed` where it is frozen and `trains` elsewhere, leaf by leaf.

        Args:
          fixed: Variables of the network, {"params": ..., "batch_stats": ...}. The statistics of a
            module are frozen when all of its parameters are.
          trains: The same tree.
        """

        def choose(path: tuple, one: Any, other: Any) -> Any:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            collection, _, name = name.partition("/")
            if collection == "params":
                return one if name in self.parameters else other
            return one if name.rpartition("/")[0] in self.modules else other

        return jax.tree.map_with_path(choose, fixed, trains)

    def in_inference(self) -> contextlib.AbstractContextManager:
        """Within it, frozen modules are called with `train=False`, whatever they are told.

        Batch norm then normalises with its running statistics and leaves them, and there is no
        dropout and no drop path. A layer without parameters does as the module around it is told.
        """
        return nn.intercept_methods(self._call)

    def _call(self, call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        path = "/".join(context.module.path)
        features = context.method_name == "features" and not path and self.backbone
        if features or (context.method_name == "__call__" and path in self.modules):
            told = inspect.signature(context.orig_method).bind(*args, **kwargs)
            told.apply_defaults()
            if "train" in told.arguments:
                told.arguments["train"] = False
                return call(*told.args, **told.kwargs)
        return call(*args, **kwargs)


NOTHING = Frozen()


def join(trains: Params, fixed: Params) -> Params:
    """Returns the whole of what `Frozen.divide` divided."""
    flat = (traverse_util.flatten_dict(part, sep="/") for part in (trains, fixed))
    return _nested(dict(itertools.chain(*(part.items() for part in flat))))


def all_but(trains: Collection[str], parameters: Collection[str]) -> Frozen:
    """Returns what is frozen where, of all `parameters`, only those in `trains` train."""
    left = frozenset(parameters) - frozenset(trains)
    backbone = {path for path in parameters if not path.startswith("head/")}
    return Frozen(
        parameters=left,
        modules=_above(left) - _above(trains),
        backbone=bool(backbone) and backbone <= left,
    )


def _above(paths: Collection[str]) -> frozenset[str]:
    """Returns the paths of the modules that hold these parameters, near or far."""
    parts = [path.split("/")[:-1] for path in paths]
    return frozenset("/".join(p[:depth]) for p in parts for depth in range(len(p) + 1))


def _nested(flat: dict[str, Any]) -> Params:
    return traverse_util.unflatten_dict(flat, sep="/")
