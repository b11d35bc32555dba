"""What a network would cost on a device that is not here, with int8 values: an estimate.

- Latency: the multiply-adds of the network by the device's published speed on a network of int8
  convolutions. Memory, caches, and layers that the published network does not have are not in it.
- Flash: the parameters, one byte each.
- RAM: the input and the output of a convolution, dense layer or attention, one byte for each value,
  of the layer that has the most. Normalisations and activations are taken as computed in place.
  Shortcuts that are kept meanwhile, scratch memory and the program are not in it.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from bcjax.config import ImageSize
from bcjax.engine import network
from bcjax.models.network import LAYERS, count
from bcjax.runtime.errors import UserError

HERE = "this machine"


@dataclasses.dataclass(frozen=True)
class Target:
    """A device.

    Attributes:
      name: What users call it.
      macs_per_s: int8 multiply-adds a second; None: latency is measured here, of the network as it
        was trained.
      source: Where the speed was published.
    """

    name: str
    macs_per_s: float | None
    source: str


TARGETS = {
    target.name: target
    for target in (
        Target(
            "Cortex-M7 216MHz",
            24.7e6 / 2 / 0.0991,
            "24.7 million operations, two for a multiply-add, in 99.1 ms: CMSIS-NN's network for "
            "CIFAR-10, Lai, Suda and Chandra, 2018, arXiv:1801.06601",
        ),
        *(
            Target(
                name,
                569e6 / seconds,
                f"569 million multiply-adds in {1e3 * seconds:.1f} ms: quantised MobileNetV1 at "
                "224 px on four threads of the processor, TensorFlow Lite's performance benchmarks",
            )
            for name, seconds in (("Pixel 3", 0.0134), ("Pixel 4", 0.0050))
        ),
        Target(HERE, None, "measured"),
    )
}


def find(name: str) -> Target | None:
    """Returns the device of a name; None for "".

    Raises:
      UserError: If its speed is not known here.
    """
    if not name:
        return None
    if name in TARGETS:
        return TARGETS[name]
    raise UserError(f"There is no target {name!r}: choose of {', '.join(TARGETS)}.")


def caution(target: Target) -> str:
    """Returns the sentence without which the figures of a device must not be read."""
    if target.macs_per_s is None:
        return f"size and ram are estimates of int8 values; latency was measured on {HERE}."
    return (
        f"latency, size and ram are estimates for {target.name} with int8 values, not "
        f"measurements. Its speed: {target.source}."
    )


@dataclasses.dataclass(frozen=True)
class TargetCost:
    """What the answer to one picture takes on a device.

    Attributes:
      latency: Seconds; None: to be measured.
      size: Bytes of flash.
      ram: Bytes.
    """

    latency: float | None
    size: int
    ram: int


def cost(config: ConfigDict, classes: int, target: Target | None = None) -> TargetCost:
    """Estimates what the network of a config costs; nothing is computed but shapes."""
    model = network.build(config, classes)
    size, channels = ImageSize.of(config.data.image_size), config.model.channels
    found = count(model, size, channels)
    speed = target.macs_per_s if target else None
    return TargetCost(
        found.macs / speed if speed else None, found.parameters, _ram(model, size, channels)
    )


def _ram(model: nn.Module, size: ImageSize, channels: int) -> int:
    """Returns the values that a layer reads and writes, of the layer that has the most."""
    most = 0

    def watch(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        nonlocal most
        result = call(*args, **kwargs)
        if context.method_name == "__call__" and isinstance(context.module, LAYERS):
            most = max(most, args[0].size + result.size)
        return result

    images = jnp.zeros((1, *size, channels))
    with nn.intercept_methods(watch):
        jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    return most
