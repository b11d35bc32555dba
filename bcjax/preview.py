"""What the network is fed, as pictures that a person can look at."""

import dataclasses
import textwrap
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int32, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from bcjax import steps
from bcjax.augment import mix, warp
from bcjax.augment.op import Op
from bcjax.augment.policy import build
from bcjax.augment.table import OPS
from bcjax.data import prepare
from bcjax.data.entry import entry_of
from bcjax.data.store import DiskStore
from bcjax.feed import order_of

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
    prepared = prepare.ensure(config.data)
    index = order_of(config, prepared)(step)
    batch = DiskStore(prepared.examples("train"), entry_of(config.data)).read(index)
    names = prepared.ids("train")

    @jax.jit
    def augmented(key, images, labels, index):
        images = steps.to_float(images, config.model.dtype)
        images, share = policy(steps.keys_of(key)[0], images, index, policy.numbers)
        if config.model.channels == 1:
            images = steps.normalise(images, (0.0,), (1.0,))
        soft = mix.soft_labels(labels, share, len(prepared.classes))
        return images.astype(jnp.float32), soft

    key, parts = steps.step_key(config.seed, step), config.optim.accumulate
    rows = [np.arange(len(index))[part::parts] for part in range(parts)]
    keys = [key] if parts == 1 else [steps.micro_key(key, part) for part in range(parts)]
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


def sheet(image: UInt8[np.ndarray, "H W 3"]) -> Figure:
    """Draws every operation of the table at five magnitudes.

    They go from nothing to the highest that RandAugment uses, or that is allowed.
    """
    rows = -(-len(OPS) // _ABREAST)
    size = (_ABREAST * (_MAGNITUDES + 1.3) * 0.8 * _INCHES, rows * 0.95 * _INCHES)
    figure = Figure(figsize=size, layout="constrained")
    blocks = figure.subfigures(1, _ABREAST, squeeze=False)
    ops = sorted(OPS.items())
    for i, block in enumerate(blocks.flat):
        axes = block.subplots(rows, _MAGNITUDES, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for row, (name, op) in zip(axes, ops[i * rows :][:rows], strict=False):
            _draw_op(row, name, op, image)
    return figure


def _draw_op(axes: Sequence[Axes], name: str, op: Op, image: UInt8[np.ndarray, "H W 3"]) -> None:
    strengths = np.linspace(0, op.full or op.magnitude.high, _MAGNITUDES, dtype=np.float32)
    for axis, strength, shown in zip(axes, strengths, _at(op, image, strengths), strict=True):
        _draw(axis, shown, f"{strength:.3g}")
    unit = textwrap.fill(op.magnitude.unit, 18)
    axes[0].set_ylabel(f"{name}\n{unit}", rotation=0, ha="right", va="center", fontsize=6)


def _at(
    op: Op, image: UInt8[np.ndarray, "H W 3"], strengths: Float[np.ndarray, "N"]
) -> Float[np.ndarray, "N H W 3"]:
    """The picture under an operation at each strength, all else drawn alike."""
    options = {name: allowed.default for name, allowed in op.options.items()}
    pixels = steps.to_float(jnp.asarray(image), "float32")
    key = jax.random.key(0)

    @jax.jit
    @jax.vmap
    def applied(strength):
        if op.geometric:
            return warp.warp(pixels, op.apply(key, strength, image.shape[:2], **options))
        return op.apply(key, pixels, strength, **options)

    return np.asarray(applied(strengths))


def _draw(axis: Axes, image: np.ndarray, title: str) -> None:
    grey = image.shape[-1] == 1
    axis.imshow(image[..., 0] if grey else image, cmap="grey" if grey else None, vmin=0, vmax=1)
    axis.set_axis_on()
    axis.set_title(title, fontsize=6, pad=2)
    axis.set_xticks([])
    axis.set_yticks([])
