"""What the network is fed, as pictures that a person can look at."""

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from bcjax.augment import OPS, Op, build, geometry, mix
from bcjax.data.input_transform import InputTransform
from bcjax.data.preparation import prepare
from bcjax.data.store import DiskStore
from bcjax.engine.loader import order_of
from bcjax.engine.step import keys_of, micro_key, normalise, step_key, to_float

_MAGNITUDES = 5  # of each operation on the sheet
_ABREAST = 3  # operations
_INCHES = 1.3  # of each picture


@dataclasses.dataclass(frozen=True)
class Fed:
    """The pictures of one training step.

    Attributes:
      classes: Names.
      ids: Of the pictures.
      originals: As they are decoded.
      shown: As they are fed, in 0..1, before normalisation.
      own: The label of each original.
      labels: Probabilities, of what is fed.
    """

    classes: Sequence[str]
    ids: Sequence[str]
    originals: UInt8[np.ndarray, "B H W 3"]
    shown: Float[np.ndarray, "B H W C"]
    own: Int32[np.ndarray, "B"]
    labels: Float[np.ndarray, "B classes"]


def fed(config: ConfigDict, step: int) -> Fed:
    """Returns the batch of a step, as training augments it.

    Raises:
      UserError: If the config's pictures or augmentations are refused.
    """
    policy = build(config.augment.ops)
    prepared = prepare(config.data)
    index = order_of(config, prepared)(step)
    batch = DiskStore(prepared.examples("train"), InputTransform.from_config(config.data)).read(
        index
    )
    names = prepared.ids("train")

    @jax.jit
    def augmented(key, images, labels, index):
        images = to_float(images, config.model.dtype)
        images, share = policy(keys_of(key)[0], images, index, policy.numbers)
        if config.model.channels == 1:
            images = normalise(images, (0.0,), (1.0,))
        soft = mix.soft_labels(labels, share, len(prepared.classes))
        return images.astype(jnp.float32), soft

    key, parts = step_key(config.seed, step), config.optim.accumulate
    rows = [np.arange(len(index))[part::parts] for part in range(parts)]
    keys = [key] if parts == 1 else [micro_key(key, part) for part in range(parts)]
    each = [
        jax.device_get(augmented(k, batch["image"][r], batch["label"][r], index[r]))
        for k, r in zip(keys, rows, strict=True)
    ]
    order = np.argsort(np.concatenate(rows))
    shown, soft = (np.concatenate(arrays)[order] for arrays in zip(*each, strict=True))
    ids = [names[i] for i in index]
    return Fed(prepared.classes, ids, batch["image"], shown, batch["label"], soft)


def described(labels: Float[np.ndarray, "classes"], classes: Sequence[str]) -> str:
    """Returns "0.71 monocyte + 0.29 platelet", the larger share first."""
    ranked = sorted(zip(labels.tolist(), classes, strict=True), reverse=True)
    shares = [(share, name) for share, name in ranked if share > 0]
    if len(shares) == 1:
        return shares[0][1]
    return " + ".join(f"{share:.2f} {name}" for share, name in shares)


def grid(fed: Fed, count: int) -> Figure:
    """Draws the first `count` pictures of a batch: the original, and beside it what is fed."""
    columns = min(4, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(columns * 2.2 * _INCHES, rows * 1.3 * _INCHES), layout="constrained")
    axes = figure.subplots(rows, 2 * columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i in range(count):
        row, column = divmod(i, columns)
        before, after = axes[row, 2 * column], axes[row, 2 * column + 1]
        _draw(before, fed.originals[i], fed.classes[fed.own[i]])
        _draw(after, fed.shown[i], described(fed.labels[i], fed.classes).replace(" + ", "\n+ "))
    return figure


def sheet(image: UInt8[np.ndarray, "H W 3"], other: UInt8[np.ndarray, "H W 3"]) -> Figure:
    """Draws every operation at five magnitudes, and how `other` is mixed in, up to a half.

    Magnitudes go from nothing to the highest that RandAugment uses, or that is allowed.
    """
    pixels = to_float(jnp.asarray(np.stack([image, other])), "float32")
    drawn = [_of_op(name, op, pixels[0]) for name, op in sorted(OPS.items())]
    drawn += [_of_mix(name, weigh, pixels) for name, (weigh, _) in sorted(mix.MIXES.items())]
    rows = -(-len(drawn) // _ABREAST)
    size = (_ABREAST * (_MAGNITUDES + 1.3) * 0.8 * _INCHES, rows * 0.95 * _INCHES)
    figure = Figure(figsize=size, layout="constrained")
    for i, block in enumerate(figure.subfigures(1, _ABREAST, squeeze=False).flat):
        axes = block.subplots(rows, _MAGNITUDES, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for row, each in zip(axes, drawn[i * rows :][:rows], strict=False):
            for axis, strength, shown in zip(row, each.strengths, each.pictures, strict=True):
                _draw(axis, shown, f"{strength:.3g}")
            said = f"{each.name}\n{textwrap.fill(each.unit, 18)}"
            row[0].set_ylabel(said, rotation=0, ha="right", va="center", fontsize=6)
    return figure


class _Row(NamedTuple):
    """An operation on the sheet, all but its strength drawn alike."""

    name: str
    unit: str
    strengths: Float[np.ndarray, "N"]
    pictures: Float[np.ndarray, "N H W 3"]


def _of_op(name: str, op: Op, image: Float[Array, "H W 3"]) -> _Row:
    options = {name: allowed.default for name, allowed in op.options.items()}
    strengths = np.linspace(0, op.full or op.magnitude.high, _MAGNITUDES, dtype=np.float32)
    key = jax.random.key(0)

    @jax.jit
    @jax.vmap
    def applied(strength):
        if op.geometric:
            return geometry.warp(image, op.apply(key, strength, image.shape[:2], **options))
        return op.apply(key, image, strength, **options)

    return _Row(name, op.magnitude.unit, strengths, np.asarray(applied(strengths)))


def _of_mix(name: str, weigh: Callable, images: Float[Array, "2 H W 3"]) -> _Row:
    strengths = np.linspace(0, 0.5, _MAGNITUDES, dtype=np.float32)
    key, shape = jax.random.key(0), images.shape[1:3]
    mixed = jax.vmap(lambda share: mix.blend(images, weigh(key, 1 - share, shape))[0])
    return _Row(name, "share of another", strengths, np.asarray(mixed(strengths)))


def _draw(axis: Axes, image: np.ndarray, title: str) -> None:
    grey = image.shape[-1] == 1
    axis.imshow(image[..., 0] if grey else image, cmap="grey" if grey else None, vmin=0, vmax=1)
    axis.set_axis_on()
    axis.set_title(title, fontsize=6, pad=2)
    axis.set_xticks([])
    axis.set_yticks([])
