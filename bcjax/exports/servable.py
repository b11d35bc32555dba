"""A trained network as one function of pictures, with all that one must know to use it."""

import dataclasses
from collections.abc import Callable
from importlib import metadata
from typing import Any, Self, TypeVar, cast

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
from bcjax.evaluation.trained_ensemble import TrainedEnsemble
from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.exports.averaged_views import AveragedViews, log_mean
from bcjax.models import portable
from bcjax.runtime.errors import UserError

FORMAT_VERSION = 1  # of the page about a file
INPUT = "images"
PROBABILITIES, LOGITS, DISTANCE = "probabilities", "logits", "distance"  # the outputs

Outputs = dict[str, Float[Array, "B *rest"]]
Whiten = Callable[[Float[Array, "B D"]], Float[Array, "B R"]]


@dataclasses.dataclass(frozen=True)
class Servable:
    """A trained network for other runtimes.

    Attributes:
      net: The network as its run has it; None: it is several networks, or averages views.
      answer: The function (B, height, width, 3) uint8 -> outputs by name, to be traced: calibrated
        probabilities (B, C) float32, the logits that they are made of, (B, C) float32, and, if
        outliers can be told, distances (B,) float32. Its constants are NumPy arrays, batch norm is
        part of the convolutions, and it computes in float32 whatever the run did.
      size: Height and width of the pictures, in pixels.
      classes: The names of the C classes.
      outputs: The names of the outputs, in their order.
      page: What must be known to use it, ready for JSON; see `docs/export.md`.
    """

    net: TrainedNetwork | None
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


Trained = TypeVar("Trained", bound=TrainedNetwork | TrainedEnsemble)


def in_float32(net: Trained) -> Trained:
    """Returns a network, or several, that compute in float32, whatever their runs did."""
    if isinstance(net, TrainedEnsemble):
        return dataclasses.replace(net, networks=tuple(map(in_float32, net.networks)))
    if net.config.model.dtype == "float32":
        return net
    config = configs.replaced(net.config, {"model.dtype": "float32"})
    return dataclasses.replace(net, config=config, model=network.build(config, len(net.classes)))


def servable(net: TrainedNetwork | TrainedEnsemble, whiten: Whiten | None = None) -> Servable:
    """Returns a trained network, or several that answer together, as other runtimes can have it.

    Args:
      net: The network, or the networks.
      whiten: Multiplies features by the whitening matrix of the network's outliers in a way of its
        own; None: by the matrix as it is.

    Raises:
      UserError: If several networks read pictures otherwise than each other.
    """
    if isinstance(net, TrainedEnsemble):
        return _together(net)
    several_views = isinstance(net.model, AveragedViews)
    trained, net = None if several_views else net, in_float32(net)
    temperature = net.calibration.temperature if net.calibration else 1.0
    outliers = net.calibration.outliers if net.calibration else None
    method = _methods(net)

    def answer(images: UInt8[Array, "B height width 3"]) -> Outputs:
        with portable.tracing():
            if outliers is None:
                logits, distance = method(images, "__call__"), {}
            else:
                features = method(images, "features")
                logits = method(features, "classify")
                distance = {DISTANCE: _distance(features, outliers, whiten)}
            return {PROBABILITIES: jax.nn.softmax(logits / temperature), LOGITS: logits} | distance

    outputs = (PROBABILITIES, LOGITS, *((DISTANCE,) if outliers else ()))
    return Servable(trained, answer, net.image_size, net.classes, outputs, _page(net, outputs))


def _together(ensemble: TrainedEnsemble) -> Servable:
    """Returns networks whose probabilities are averaged, as `TrainedEnsemble.predict` does."""
    networks = in_float32(ensemble).networks
    first, *others = networks
    for other in others:
        if other.transform != first.transform:
            raise UserError(
                f"{other.workdir} reads pictures of another size, or prepared otherwise, than "
                f"{first.workdir}: one file takes one kind of pictures. Export them one by one."
            )
    calibration = ensemble.calibration
    temperature = calibration.temperature if calibration else 1.0
    methods = [_methods(each) for each in networks]

    def answer(images: UInt8[Array, "B height width 3"]) -> Outputs:
        with portable.tracing():
            logits = log_mean([method(images, "__call__") for method in methods])
            return {PROBABILITIES: jax.nn.softmax(logits / temperature), LOGITS: logits}

    outputs = (PROBABILITIES, LOGITS)
    page = _page(dataclasses.replace(first, calibration=calibration), outputs)
    page["networks"] = [
        {"network": each.config.model.name, "run": each.workdir.name, "checkpoint": each.step}
        for each in networks
    ]
    return Servable(None, answer, first.image_size, first.classes, outputs, page)


def _methods(net: TrainedNetwork) -> Callable[[Array, str], Array]:
    """Returns (images or features, name of a method) -> what it gives; images are normalised."""
    variables = jax.tree.map(np.asarray, jax.device_get(net.variables))
    mean, std = net.config.model.mean, net.config.model.std

    def method(x: Array, name: str) -> Array:
        if x.dtype == jnp.uint8:
            x = normalise(x.astype(jnp.float32) / 255, mean, std)
        return cast(Array, net.model.apply(variables, x, train=False, method=name))

    return method


def _distance(
    features: Float[Array, "B D"], outliers: Outliers, whiten: Whiten | None
) -> Float[Array, "B"]:
    """Returns the distance to the nearest class, as `Outliers.distance` computes it in float64."""
    features = features.astype(jnp.float32)
    if whiten is None:
        whitened = features @ outliers.whitening.astype(np.float32)
    else:
        whitened = whiten(features)
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
    if isinstance(net.model, AveragedViews):
        cautions.append(
            f"The answers are means over {len(net.model.views)} views of each picture, which no "
            "calibration is of: the probabilities are surer or less sure than they should be, and "
            "nothing says which pictures the network cannot judge."
        )
    elif not calibration:
        cautions.append(
            f"Checkpoint {net.step} is not calibrated: its probabilities are surer or less sure "
            "than they should be, and nothing says which pictures it cannot judge. Run bcjax "
            "calibrate, and export it anew."
        )
    views = [view.name for view in net.model.views] if isinstance(net.model, AveragedViews) else []
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
        "views": views,
        "preparation": {
            "resize": data.resize, "crop_fraction": data.crop_fraction,
            "pad_colour": list(data.pad_colour), "grey": data.grey,
            "interpolation": "by area where the picture becomes smaller, else bilinear (OpenCV's "
            "INTER_AREA and INTER_LINEAR)",
            "mask": data.mask, "stain": data.stain,
        },
        "calibration": fitted(calibration),
        "cautions": cautions,
        "data": {
            "source": str(data.source).rstrip("/").rsplit("/", 1)[-1],
            "licence": data.licence or "unknown",
        },
    }  # fmt: skip
