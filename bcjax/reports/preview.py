"""What the network is trained on: augmented pictures of a step, and every augmentation."""

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
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
from bcjax.runtime.files import atomic

_MAGNITUDES = 5  # of each operation
_OPERATIONS_ABREAST = 3
_INCHES = 1.3  # of each picture
_DPI = 150


@dataclasses.dataclass(frozen=True)
class TrainingBatch:
    """The pictures of one training step.

    Attributes:
      classes: Names of the classes.
      ids: Ids of the pictures.
      originals: The pictures as they are decoded.
      augmented: The pictures as the network is trained on them, in 0..1, before normalisation.
      labels: The label of each original.
      soft_labels: The probabilities that each augmented picture is labelled with.
    """

    classes: Sequence[str]
    ids: Sequence[str]
    originals: UInt8[np.ndarray, "B H W 3"]
    augmented: Float[np.ndarray, "B H W C"]
    labels: Int32[np.ndarray, "B"]
    soft_labels: Float[np.ndarray, "B classes"]


@dataclasses.dataclass(frozen=True)
class Preview:
    """What `write_preview` wrote.

    Attributes:
      batch: Image of the first pictures of the batch, original beside augmented.
      operations: Image of every augmentation at five magnitudes.
      labels: Id of each picture that is shown, and its label in words.
    """

    batch: Path
    operations: Path
    labels: Sequence[tuple[str, str]]


def write_preview(
    config: ConfigDict, out: str | Path, *, step: int = 0, pictures: int = 16
) -> Preview:
    """Writes `batch.png` and `operations.png` into a folder.

    Args:
      config: The config that would be trained with.
      out: The folder.
      step: The training step whose batch is drawn.
      pictures: How many pictures of the batch are drawn, at most.

    Raises:
      UserError: If the pictures or the augmentations of the config are wrong.
    """
    batch = training_batch(config, step)
    count = min(pictures, len(batch.ids))
    preview = Preview(
        batch=Path(out) / "batch.png",
        operations=Path(out) / "operations.png",
        labels=[
            (id_, describe_labels(labels, batch.classes))
            for id_, labels in zip(batch.ids[:count], batch.soft_labels, strict=False)
        ],
    )
    _write(draw_batch(batch, count), preview.batch)
    _write(draw_operations(*batch.originals[[0, -1]]), preview.operations)
    return preview


def _write(figure: Figure, path: Path) -> None:
    with atomic(path) as partial:
        figure.savefig(partial, format="png", dpi=_DPI)


def training_batch(config: ConfigDict, step: int) -> TrainingBatch:
    """Returns the batch of a step, augmented as in training.

    Raises:
      UserError: If the pictures or the augmentations of the config are wrong.
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
    pictures, soft = (np.concatenate(arrays)[order] for arrays in zip(*each, strict=True))
    ids = [names[i] for i in index]
    return TrainingBatch(prepared.classes, ids, batch["image"], pictures, batch["label"], soft)


def describe_labels(labels: Float[np.ndarray, "classes"], classes: Sequence[str]) -> str:
    """Returns soft labels in words, the larger share first: "0.71 monocyte + 0.29 platelet"."""
    ranked = sorted(zip(labels.tolist(), classes, strict=True), reverse=True)
    shares = [(share, name) for share, name in ranked if share > 0]
    if len(shares) == 1:
        return shares[0][1]
    return " + ".join(f"{share:.2f} {name}" for share, name in shares)


def draw_batch(batch: TrainingBatch, count: int) -> Figure:
    """Draws the first `count` pictures of a batch, each original beside its augmentation."""
    columns = min(4, count)
    rows = -(-count // columns)
    height, width, _ = batch.originals.shape[1:]
    size = (columns * 2.2 * _INCHES, rows * (0.2 + 1.1 * height / width) * _INCHES)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, 2 * columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i in range(count):
        row, column = divmod(i, columns)
        before, after = axes[row, 2 * column], axes[row, 2 * column + 1]
        label = describe_labels(batch.soft_labels[i], batch.classes)
        _draw(before, batch.originals[i], batch.classes[batch.labels[i]])
        _draw(after, batch.augmented[i], label.replace(" + ", "\n+ "))
    return figure


def draw_operations(image: UInt8[np.ndarray, "H W 3"], other: UInt8[np.ndarray, "H W 3"]) -> Figure:
    """Draws every augmentation of a picture at five magnitudes, from none to the highest.

    The highest is the one that RandAugment uses, or else that is allowed. Another picture is mixed
    in up to a half.
    """
    pixels = to_float(jnp.asarray(np.stack([image, other])), "float32")
    operations = [_apply_op(name, op, pixels[0]) for name, op in sorted(OPS.items())]
    operations += [_apply_mix(name, mask, pixels) for name, (mask, _) in sorted(mix.MIXES.items())]
    rows = -(-len(operations) // _OPERATIONS_ABREAST)
    row_height = max(0.15 + 0.8 * image.shape[0] / image.shape[1], 0.5)  # half for the label
    size = (_OPERATIONS_ABREAST * (_MAGNITUDES + 1.3) * 0.8 * _INCHES, rows * row_height * _INCHES)
    figure = Figure(figsize=size, layout="constrained")
    for i, block in enumerate(figure.subfigures(1, _OPERATIONS_ABREAST, squeeze=False).flat):
        axes = block.subplots(rows, _MAGNITUDES, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for row, each in zip(axes, operations[i * rows :][:rows], strict=False):
            for axis, strength, picture in zip(row, each.strengths, each.pictures, strict=True):
                _draw(axis, picture, f"{strength:.3g}")
            label = f"{each.name}\n{textwrap.fill(each.unit, 18)}"
            row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=6)
    return figure


class _Operation(NamedTuple):
    """One augmentation of one picture at several strengths, otherwise drawn alike."""

    name: str
    unit: str
    strengths: Float[np.ndarray, "N"]
    pictures: Float[np.ndarray, "N H W 3"]


def _apply_op(name: str, op: Op, image: Float[Array, "H W 3"]) -> _Operation:
    options = {name: allowed.default for name, allowed in op.options.items()}
    strengths = np.linspace(0, op.full or op.magnitude.high, _MAGNITUDES, dtype=np.float32)
    key = jax.random.key(0)

    @jax.jit
    @jax.vmap
    def applied(strength):
        if op.geometric:
            return geometry.warp(image, op.apply(key, strength, image.shape[:2], **options))
        return op.apply(key, image, strength, **options)

    return _Operation(name, op.magnitude.unit, strengths, np.asarray(applied(strengths)))


def _apply_mix(name: str, weigh: Callable, images: Float[Array, "2 H W 3"]) -> _Operation:
    strengths = np.linspace(0, 0.5, _MAGNITUDES, dtype=np.float32)
    key, shape = jax.random.key(0), images.shape[1:3]
    mixed = jax.vmap(lambda share: mix.blend(images, weigh(key, 1 - share, shape))[0])
    return _Operation(name, "share of another", strengths, np.asarray(mixed(strengths)))


def _draw(axis: Axes, image: np.ndarray, title: str) -> None:
    grey = image.shape[-1] == 1
    axis.imshow(image[..., 0] if grey else image, cmap="grey" if grey else None, vmin=0, vmax=1)
    axis.set_axis_on()
    axis.set_title(title, fontsize=6, pad=2)
    axis.set_xticks([])
    axis.set_yticks([])
