"""What jax2onnx must know for the networks here, and nothing else of it."""

from pathlib import Path
from typing import Any

import onnx_ir
from jax2onnx.plugins import plugin_system

# jax2onnx imports all its plugins and examples when it first converts, which takes a minute,
# because some of them build layers. The networks here need these.
_PARTS = ("jax", "flax/linen")


def register() -> None:
    """Makes jax2onnx ready; does nothing the second time."""
    if plugin_system._already_imported_plugins:
        return
    root = Path(plugin_system.__file__).parent
    for part in _PARTS:
        plugin_system._import_tree(root / part, f"jax2onnx.plugins.{part.replace('/', '.')}")
    plugin_system._already_imported_plugins = True
    plugin_system.PLUGIN_REGISTRY["reduce_window_max"] = MaxPool()


class MaxPool(plugin_system.PrimitiveLeafPlugin):
    """The maximum over windows of NHWC pictures.

    jax2onnx's own adds two axes, with which ONNX Runtime cannot run it.
    """

    def lower(self, ctx: Any, eqn: Any) -> None:
        """Writes the equation `eqn` as a MaxPool between two transpositions."""
        (x,), (y,) = eqn.invars, eqn.outvars
        down, right = eqn.params["padding"][1:3]
        pooled = self._node(
            ctx,
            "MaxPool",
            self._node(ctx, "Transpose", ctx.get_value_for_var(x), x, perm=(0, 3, 1, 2)),
            y,
            kernel_shape=eqn.params["window_dimensions"][1:3],
            strides=eqn.params["window_strides"][1:3],
            pads=(down[0], right[0], down[1], right[1]),
        )
        result = self._node(ctx, "Transpose", pooled, y, nhwc=True, perm=(0, 2, 3, 1))
        ctx.bind_value_for_var(y, result)

    @staticmethod
    def _node(
        ctx: Any, op: str, value: Any, like: Any, *, nhwc: bool = False, **attributes: Any
    ) -> Any:
        batch, height, width, channels = like.aval.shape
        shape = (batch, height, width, channels) if nhwc else (batch, channels, height, width)
        made = getattr(ctx.builder, op)(value, _outputs=[ctx.fresh_name("max_pool")], **attributes)
        made.type = onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
        made.shape = onnx_ir.Shape([s if isinstance(s, int) else str(s) for s in shape])
        return made
