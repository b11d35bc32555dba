"""A trained network as one function of pictures, with all that one must know to use it."""

import dataclasses
from collections.abc import Callable
from importlib import metadata
from typing import Any, Self, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from bcjax import config as configs
from bcjax.config import ImageSize
from bcjax.engine import network
from bcjax.engine.step import normalise
from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.calibration.outliers import Outliers
from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.models import portable

FORMAT_VERSION = 1  # of the page about a file
INPUT = "images"
PROBABILITIES, LOGITS, DISTANCE = "probabilities", "logits", "distance"  # the outputs

Outputs = dict[str, Float[Array, "B *rest"]]


@dataclasses.dataclass(frozen=True)
class Servable:
    """A trained network for other runtimes.

    Attributes:
      net: The network as its run has it.
      answer: The function (B, height, width, 3) uint8 -> outputs by name, to be traced: calibrated
        probabilities (B, C) float32, the logits that they are made of, (B, C) float32, and, if
        outliers can be told, distances (B,) float32. Its constants are NumPy arrays, batch norm is
        part of the convolutions, and it computes in float32 whatever the run did.
      size: Height and width of the pictures, in pixels.
      classes: The names of the C classes.
      outputs: The names of the outputs, in their order.
      page: What must be known to use it, ready for JSON; see `docs/export.md`.
    """

    net: TrainedNetwork
    answer: Callable[[UInt8[Array, "B height width 3"]], Outputs]
    size: ImageSize
    classes: tuple[str, ...]
    outputs: tuple[str, ...]
    page: dict[str, Any]

    def probabilities_alone(self) -> Self:
        """Returns it without the logits and the distance, whose matrix may be larger than it."""

        def answer(images: UInt8[Array, "B height width 3"]) -> Outputs:
            return {PROBABILITIES: self.answer(images)[PROBABILITIES]}

        page = self.page | {"outputs": {PROBABILITIES: self.page["outputs"][PROBABILITIES]}}
        return dataclasses.replace(self, answer=answer, outputs=(PROBABILITIES,), page=page)


def in_float32(net: TrainedNetwork) -> TrainedNetwork:
    """Returns a network that computes in float32, whatever its run did."""
    config = configs.replaced(net.config, {"model.dtype": "float32"})
    return dataclasses.replace(net, config=config, model=network.build(config, len(net.classes)))


def servable(net: TrainedNetwork) -> Servable:
    """Returns a trained network as other runtimes can have it."""
    trained, net = net, in_float32(net)
    config, model = net.config, net.model
    variables = jax.tree.map(np.asarray, jax.device_get(net.variables))
    temperature = net.calibration.temperature if net.calibration else 1.0
    outliers = net.calibration.outliers if net.calibration else None
    mean, std = config.model.mean, config.model.std

    def apply(images: Array, method: str) -> Array:
        return cast(Array, model.apply(variables, images, train=False, method=method))

    def answer(images: UInt8[Array, "B height width 3"]) -> Outputs:
        with portable.tracing():
            pixels = normalise(images.astype(jnp.float32) / 255, mean, std)
            if outliers is None:
                logits, distance = apply(pixels, "__call__"), {}
            else:
                features = apply(pixels, "features")
                logits = apply(features, "classify")
                distance = {DISTANCE: _distance(features, outliers)}
            return {PROBABILITIES: jax.nn.softmax(logits / temperature), LOGITS: logits} | distance

    outputs = (PROBABILITIES, LOGITS, *((DISTANCE,) if outliers else ()))
    return Servable(trained, answer, net.image_size, net.classes, outputs, _page(net, outputs))


def _distance(features: Float[Array, "B D"], outliers: Outliers) -> Float[Array, "B"]:
    """Returns the distance to the nearest class, as `Outliers.distance` computes it in float64."""
    whitened = features.astype(jnp.float32) @ outliers.whitening.astype(np.float32)
    means = (outliers.means @ outliers.whitening).astype(np.float32)
    # One class after the other: a difference for all at once would take K times the memory.
    squares = [jnp.sum((whitened - mean) ** 2, axis=1, keepdims=True) for mean in means]
    return jnp.sqrt(jnp.min(jnp.concatenate(squares, axis=1), axis=1))


def fitted(calibration: Calibration | None) -> dict[str, Any] | None:
    """Returns what the page of a file says of a calibration."""
    if calibration is None:
        return None
    return {
        "split": calibration.split, "n": calibration.n,
        "temperature": calibration.temperature,
        "conformal": calibration.conformal.to_dict(),
        "abstention": calibration.abstention.to_dict(),
        "distance_threshold": calibration.outliers and calibration.outliers.distance_threshold,
    }  # fmt: skip


def _page(net: TrainedNetwork, outputs: tuple[str, ...]) -> dict[str, Any]:
    data, calibration = net.config.data, net.calibration
    meanings = {
        PROBABILITIES: "Calibrated probability of each class, float32: (batch, classes).",
        LOGITS: "What the probabilities are of, before calibration, float32: (batch, classes).",
        DISTANCE: "How strange a picture is, float32: (batch,); above calibration's "
        "distance_threshold it is unlike what the network was trained on.",
    }
    height, width = net.image_size
    cautions = [*(calibration.cautions if calibration else ())]
    if not calibration:
        cautions.append(
            f"Checkpoint {net.step} is not calibrated: its probabilities are surer or less sure "
            "than they should be, and nothing says which pictures it cannot judge. Run bcjax "
            "calibrate, and export it anew."
        )
    return {
        "format_version": FORMAT_VERSION,
        "made_by": f"bcjax {metadata.version('bcjax')}",
        "use": "For research only: it is no medical device.",
        "network": net.config.model.name,
        "run": net.workdir.name,
        "checkpoint": net.step,
        "classes": list(net.classes),
        "input": {
            "name": INPUT, "dtype": "uint8", "shape": ["batch", height, width, 3],
            "channels": "RGB",
            "meaning": "Decoded pictures of this size. Normalisation is inside the file.",
        },
        "outputs": {name: meanings[name] for name in outputs},
        "preparation": {
            "resize": data.resize, "crop_fraction": data.crop_fraction,
            "pad_colour": list(data.pad_colour), "grey": data.grey,
            "interpolation": "by area where the picture becomes smaller, else bilinear (OpenCV's "
            "INTER_AREA and INTER_LINEAR)",
            "mask": data.mask, "stain": data.stain,
        },
        "calibration": fitted(calibration),
        "cautions": cautions,
        "data": {"source": str(data.source).rstrip("/").rsplit("/", 1)[-1], "licence": "unknown"},
    }  # fmt: skip
