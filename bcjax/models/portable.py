"""A trained network as other runtimes like it: plain operations, batch norm within convolutions.

    with portable.tracing():
        logits = model.apply(variables, images, train=False)

Within it a convolution and a maximum over windows are the operations of their names, not what is
fast in XLA on a CPU, and a batch norm that follows a convolution is part of its kernel and bias
(Jacob et al., CVPR 2018, arXiv:1712.05877, section 3.2). The results are those of the network up to
rounding.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from bcjax.models import windows
from bcjax.models.layers import Conv
from bcjax.models.norm import Norm


@contextlib.contextmanager
def tracing() -> Iterator[None]:
    """Makes what is traced within it portable; the variables must be constants of the trace."""
    with windows.plain(), nn.intercept_methods(_FoldedBatchNorm()):
        yield


class _FoldedBatchNorm:
    """Makes each batch norm a part of the convolution that it follows."""

    def __init__(self) -> None:
        # By the identity of what a convolution returned, which is kept alive to be unique.
        self._made_by: dict[int, tuple[Array, Conv, Array]] = {}

    def __call__(
        self, call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext
    ) -> Any:
        layer = context.module
        if context.method_name == "__call__":
            if isinstance(layer, Conv):
                result = call(*args, **kwargs)
                self._made_by[id(result)] = result, layer, args[0]
                return result
            if isinstance(layer, Norm) and layer.kind in ("batch", "frozen-batch"):
                y = self._normalised(args[0], layer)
                return layer.activation(y) if layer.activation else y
        return call(*args, **kwargs)

    def _normalised(self, x: Float[Array, "B *space C"], norm: Norm) -> Float[Array, "B *space C"]:
        mean, var = (_constant(norm, "batch_stats", name) for name in ("mean", "var"))
        slope = _constant(norm, "params", "scale") / np.sqrt(var + np.float32(norm.epsilon))
        shift = _constant(norm, "params", "bias") - mean * slope
        if id(x) not in self._made_by:
            return x * slope + shift
        _, conv, before = self._made_by[id(x)]
        if conv.use_bias:
            shift = shift + _constant(conv, "params", "bias") * slope
        kernel: Any = _constant(conv, "params", "kernel") * slope
        return conv.convolved(before, kernel) + shift


def _constant(layer: nn.Module, collection: str, name: str) -> Float[np.ndarray, "..."]:
    """Returns a variable as NumPy has it, so that what follows is computed now, not traced."""
    return np.asarray(layer.get_variable(collection, name))
