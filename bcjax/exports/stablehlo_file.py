"""StableHLO by `jax.export`: the program itself, for CPU, CUDA and TPU, in batches of any size.

`jax.export.deserialize(bytearray(path.read_bytes())).call(images)` answers, without bcjax.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from bcjax.exports.servable import Servable
from bcjax.runtime import extras

PLATFORMS = ("cpu", "cuda", "tpu")


def write(servable: Servable, path: Path) -> None:
    """Writes a network as serialised StableHLO, for batches of any size.

    Raises:
      UserError: If the extra is not installed.
    """
    extras.check("flatbuffers", "The format stablehlo")
    from jax import export

    (batch,) = export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *servable.size, 3), jnp.uint8)
    exported = export.export(jax.jit(servable.answer), platforms=PLATFORMS)(images)
    path.write_bytes(exported.serialize())


class Runtime:
    """Answers with a StableHLO file, by JAX."""

    def __init__(self, path: Path):
        from jax import export

        self.name = f"JAX {jax.__version__}"
        self._call = jax.jit(export.deserialize(bytearray(path.read_bytes())).call)

    def __call__(self, images: UInt8[np.ndarray, "B H W 3"]) -> dict[str, Float[np.ndarray, "..."]]:
        return jax.device_get(self._call(images))
