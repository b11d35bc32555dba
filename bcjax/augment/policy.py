"""From the augmentations that a config lists to one pure function of a batch.

Each picture has a key of its own, so that it is augmented in the same way wherever it is: in any
place of the batch, on any device, from any store.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

from bcjax.augment import geometry, mix, spec
from bcjax.augment.op import Argument, Op, in_turn
from bcjax.augment.table import CHOOSING, MIXING, OPS, PAPER_OPS
from bcjax.config import nearest
from bcjax.runtime.errors import UserError

Shape = tuple[int, int]  # height, width
Numbers = dict[str, float]  # the arguments of one line by name; traced in a step
Paint = Callable[[Array], Array]

LEVELS = 30  # the highest magnitude, as RandAugment's paper counts

_PROBABILITY = Argument(1, 0, 1, "probability")
_RAND_AUGMENT = {
    "magnitude": Argument(9, 0, LEVELS),
    "spread": Argument(0, 0, LEVELS, "deviation of the magnitude"),
    "rate": Argument(1, 0, 1, "probability of each layer"),
}


@dataclasses.dataclass(frozen=True, eq=False)  # compared by identity: jit hashes what it compiles
class Policy:
    """Augments a batch; the `numbers` are separate, so that a step can take them as an argument.

    Attributes:
      numbers: The numbers of each line, by argument: a pytree of floats.
      mixes: Whether pictures are mixed, so that labels become probabilities.
    """

    numbers: tuple[Numbers, ...] = ()
    mixes: bool = False
    _transforms: tuple["Transform", ...] = ()
    _mixings: tuple[Callable, ...] = ()  # functions of `mix`, one of which is drawn for each batch

    def __call__(
        self,
        key: Key[Array, ""],
        images: Float[Array, "B H W C"],
        index: Int32[Array, "B"],
        numbers: tuple[Numbers, ...],
    ) -> tuple[Float[Array, "B H W C"], Float[Array, ""]]:
        """Augments each picture by itself, then mixes each with the one before it, if at all.

        Args:
          key: The key of the step.
          images: Pictures in 0..1.
          index: The index of each picture in its split.
          numbers: The numbers of each line, as in `self.numbers`; they may be traced.

        Returns:
          The pictures, and the share of its own label that each keeps (see `mix.soft_labels`).
        """
        if self._transforms:
            one = functools.partial(self._one, numbers=numbers)
            images = jax.vmap(one)(_picture_keys(key, index), images)
        share = jnp.float32(1)
        if self.mixes:
            own_key = jax.random.fold_in(key, 2**32 - 1)  # no picture has this index
            images, share = self._mixed(own_key, images, numbers[-1])
        return images, share

    def _mixed(
        self, key: Key[Array, ""], images: Float[Array, "B H W C"], numbers: Numbers
    ) -> tuple[Float[Array, "B H W C"], Float[Array, ""]]:
        share_key, weights_key, which_key, coin_key = jax.random.split(key, 4)
        each = [
            weigh(weights_key, mix.share(share_key, numbers[f"alpha{i}"]), images.shape[1:3])
            for i, weigh in enumerate(self._mixings)
        ]
        weights = jnp.stack(each)[jax.random.randint(which_key, (), 0, len(each))]
        weights = jnp.where(jax.random.bernoulli(coin_key, numbers["p"]), weights, 1.0)
        return mix.blend(images, weights), weights.mean()

    def _one(
        self, key: Key[Array, ""], image: Float[Array, "H W C"], numbers: Sequence[Numbers]
    ) -> Float[Array, "H W C"]:
        shape: Shape = (image.shape[0], image.shape[1])
        moves: list[Drawn] = []  # drawn, and not yet applied
        keys = jax.random.split(key, len(self._transforms))
        for transform, own_key, own in zip(self._transforms, keys, numbers, strict=False):
            drawn = transform.draw(own_key, own, shape)
            if drawn.matrix is not None:
                moves.append(drawn)
            if drawn.paint is not None:
                image = drawn.paint(_moved(image, moves))
                moves = []
        return _moved(image, moves)


NO_AUGMENTATION = Policy()


class Drawn(NamedTuple):
    """What is done to one picture, in this order.

    Attributes:
      matrix: Where the pixels of the result lie (see `Op.apply`); None: the pixels stay.
      rearrange: A function that does the same as `matrix` without interpolation, if there is one.
      paint: The function that then changes the colours; None: they stay.
    """

    matrix: Float[Array, "2 3"] | None = None
    rearrange: Paint | None = None
    paint: Paint | None = None


@dataclasses.dataclass(frozen=True)
class OneOp:
    """A line that names one operation of the table.

    Attributes:
      op: The operation.
      rearrange: `(key, image) -> image`, the same as `op` at strength 1 without interpolation.
      sometimes: Whether `numbers` has "p", the probability that a picture gets the operation.
    """

    op: Op
    rearrange: Callable | None = None
    sometimes: bool = False

    def draw(self, key: Key[Array, ""], numbers: Numbers, shape: Shape) -> Drawn:
        apply_key, strength_key, coin_key = jax.random.split(key, 3)
        strength = _strength(strength_key, self.op, jnp.float32(numbers["magnitude"]))
        if self.sometimes:
            strength = jnp.where(jax.random.bernoulli(coin_key, numbers["p"]), strength, 0.0)
        options = {name: numbers[name] for name in self.op.options}
        if self.op.geometric:
            matrix = self.op.apply(apply_key, strength, shape, **options)
            rearrange = self.rearrange and functools.partial(self.rearrange, apply_key)
            return Drawn(matrix, rearrange)
        return Drawn(paint=lambda image: self.op.apply(apply_key, image, strength, **options))


@dataclasses.dataclass(frozen=True)
class RandomOps:
    """A line that applies randomly chosen operations: RandAugment or TrivialAugment.

    In each of `layers` layers, one of `ops` or none is applied, each equally likely. RandAugment
    (Cubuk et al. 2020, arXiv:1909.13719) gives all operations the same magnitude, which may vary by
    a normal distribution of deviation `spread`. TrivialAugment (Mueller and Hutter 2021,
    arXiv:2103.10158) has one layer and draws the magnitude.

    Under vmap each picture's choice would cost one whole operation for each of the choices. Here
    the geometric ones are matrices, of which the chosen are multiplied and interpolated once for
    all layers (before the colours change: the order matters to interpolation alone). The others are
    mostly a few operations on a pixel, which the compiler fuses into one pass.

    Attributes:
      ops: The operations to choose from.
      layers: The number of operations applied one after another.
      any_magnitude: Whether each magnitude is drawn evenly from 0 to the highest.
    """

    ops: Sequence[Op]
    layers: int
    any_magnitude: bool = False

    def draw(self, key: Key[Array, ""], numbers: Numbers, shape: Shape) -> Drawn:
        which_key, level_key, own_key = jax.random.split(key, 3)
        # Drawn flat: under vmap, random numbers with several axes take seconds to compile.
        drawn = jax.random.uniform(which_key, (4 * self.layers,)).reshape(4, self.layers)
        which, sign, coin, evenly = drawn
        # The last index stands for no operation.
        which = jnp.floor(which * (len(self.ops) + 1)).astype(jnp.int32)
        sign = jnp.where(sign < 0.5, -1.0, 1.0)
        if self.any_magnitude:
            level = evenly
        else:
            varied = numbers["spread"] * jax.random.normal(level_key, (self.layers,))
            level = jnp.clip((numbers["magnitude"] + varied) / LEVELS, 0, 1)
            which = jnp.where(coin < numbers["rate"], which, len(self.ops))
        layers = _Layer(jax.random.split(own_key, self.layers), which, level, sign)

        # In each layer all matrices but the chosen one have strength 0 and are the identity.
        matrices = [
            op.apply(layer.key, layer.strength(i, op), shape)
            for layer in (jax.tree.map(lambda a, n=n: a[n], layers) for n in range(self.layers))
            for i, op in enumerate(self.ops)
            if op.geometric
        ]
        matrix = functools.reduce(geometry.compose, matrices) if matrices else None

        def paint(image: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
            return in_turn(self._painted)(image, layers)

        return Drawn(matrix, paint=None if all(op.geometric for op in self.ops) else paint)

    def _painted(self, image: Float[Array, "H W C"], layers: "_Layer") -> Float[Array, "H W C"]:
        def branch(i: int, op: Op) -> Callable:
            if op.geometric:
                return _unchanged
            return lambda image, layer: op.apply(layer.key, image, layer.strength(i, op))

        branches = [*(branch(i, op) for i, op in enumerate(self.ops)), _unchanged]

        # A loop, so that the compiler makes one pass for each layer: fused into the next one, a
        # layer would be computed again for each pixel that a filter there reads.
        def body(image: Array, layer: "_Layer") -> tuple[Array, None]:
            return jax.lax.switch(layer.which, branches, image, layer), None

        return jax.lax.scan(body, image, layers)[0]


Transform: TypeAlias = OneOp | RandomOps  # what one line of `augment.ops` does to single pictures


def _unchanged(image: Float[Array, "H W C"], layer: "_Layer") -> Float[Array, "H W C"]:
    return image


class _Layer(NamedTuple):
    """What one layer does to a picture."""

    key: Key[Array, ""]
    which: Int32[Array, ""]
    level: Float[Array, ""]
    sign: Float[Array, ""]

    def strength(self, i: int, op: Op) -> Float[Array, ""]:
        """Returns the strength of operation `i`: 0 unless it is the chosen one."""
        full = 1.0 if op.draw == "share" else op.full * self.level
        full = full * self.sign if op.draw == "signed" else full
        return jnp.where(self.which == i, full, 0.0)


def _strength(key: Key[Array, ""], op: Op, magnitude: Float[Array, ""]) -> Float[Array, ""]:
    """Draws how strongly `op` is applied to a picture, as its `draw` says."""
    if op.draw == "signed":
        return magnitude * jax.random.uniform(key, minval=-1.0)
    return magnitude * jax.random.uniform(key) if op.draw == "up_to" else magnitude


def _picture_keys(key: Key[Array, ""], index: Int32[Array, "B"]) -> Key[Array, "B"]:
    """Returns a key for each picture from its index, and another one if the batch repeats it."""
    same = index[:, None] == index[None, :]
    again = jnp.tril(same, -1).sum(-1)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, index)
    others = jax.vmap(jax.random.fold_in)(keys, again)
    return jnp.where(again > 0, others, keys)


def _moved(image: Float[Array, "H W C"], moves: Sequence[Drawn]) -> Float[Array, "H W C"]:
    """Moves the pixels as all matrices together say, interpolating at most once."""
    rearranged = [each.rearrange for each in moves if each.rearrange]
    if len(rearranged) == len(moves):
        for rearrange in rearranged:
            image = rearrange(image)
        return image
    matrices = [each.matrix for each in moves if each.matrix is not None]
    return geometry.warp(image, functools.reduce(geometry.compose, matrices))


# From the config's lines


def build(ops: Sequence[str]) -> Policy:
    """Returns the policy that the config's `augment.ops` describes.

    Each line is "name", "name(magnitude)" or "name(magnitude, option=..., p=...)" with a name of
    the table, in the order of application; "rand_augment(layers, magnitude, spread=, rate=,
    ops=())"; "trivial_augment(ops=())"; and, as the last line, "mixup(alpha, p=)",
    "cutmix(alpha, p=)" or "one_of(mixup(alpha), cutmix(alpha), p=)".

    Raises:
      UserError: A line is not written like this, names something unknown or a number out of range.
    """
    lines = [spec.parse(text) for text in ops]
    mixing = [line for line in lines if line.name in MIXING]
    if mixing and (len(mixing) > 1 or lines[-1] is not mixing[0]):
        raise UserError(
            f"config.augment.ops has {mixing[0].text!r} before {lines[-1].text!r}: mix once, and "
            "last; one_of(mixup(0.2), cutmix(1)) chooses for each batch."
        )
    pairs = [
        _random_ops(line) if line.name in CHOOSING else _one_op(line)
        for line in lines
        if line not in mixing
    ]
    numbers = [own for _, own in pairs]
    mixings: tuple[Callable, ...] = ()
    if mixing:
        mixings, own = _mixing(mixing[0])
        numbers.append(own)
    return Policy(tuple(numbers), bool(mixing), tuple(each for each, _ in pairs), mixings)


def _one_op(line: spec.Spec) -> tuple[Transform, Numbers]:
    if line.name not in OPS:
        raise UserError(
            f"config.augment.ops has {line.text!r}: there is no augmentation {line.name!r}"
            f"{nearest(line.name, [*OPS, *CHOOSING, *MIXING])}"
        )
    op = OPS[line.name]
    numbers = spec.numbers(line, {"magnitude": op.magnitude, **op.options, "p": _PROBABILITY})
    rearrange = None if line.numbers or line.options else geometry.EXACT.get(line.name)
    return OneOp(op, rearrange, sometimes="p" in line.options), numbers


def _random_ops(line: spec.Spec) -> tuple[Transform, Numbers]:
    options = dict(line.options)
    given = options.pop("ops", PAPER_OPS)
    names = given if isinstance(given, tuple) else ()
    line = dataclasses.replace(line, options=options)
    for name in names:
        if name not in OPS or not OPS[name].full:
            known = [name for name, op in OPS.items() if op.full]
            raise UserError(
                f"config.augment.ops has {line.text!r}: {line.name} does not choose {name!r}"
                f"{nearest(name, known)}"
            )
    if not names:
        raise UserError(f"config.augment.ops has {line.text!r}: name some, as ops=(rotate, blur).")
    ops = [OPS[name] for name in names]
    if line.name == "trivial_augment":
        return RandomOps(ops, 1, any_magnitude=True), spec.numbers(line, {})
    numbers = spec.numbers(line, {"layers": Argument(2, 1, 8), **_RAND_AUGMENT})
    layers = numbers.pop("layers")
    if layers % 1:
        raise UserError(f"config.augment.ops has {line.text!r}: write a whole number of layers.")
    return RandomOps(ops, int(layers)), numbers


def _mixing(line: spec.Spec) -> tuple[tuple[Callable, ...], Numbers]:
    def alpha_of(name: str) -> Argument:
        return Argument(mix.MIXES[name][1], 1e-3, 1e3)

    if line.name == "one_of":
        others = [each for each in line.inner if each.name not in mix.MIXES]
        if others or not line.inner:
            raise UserError(
                f"config.augment.ops has {line.text!r}: one_of takes mixup(alpha), cutmix(alpha)."
            )
        parts = line.inner
        own = spec.numbers(dataclasses.replace(line, inner=()), {"p": _PROBABILITY})
        alphas = [spec.numbers(each, {"alpha": alpha_of(each.name)})["alpha"] for each in parts]
    else:
        parts = (line,)
        own = spec.numbers(line, {"alpha": alpha_of(line.name), "p": _PROBABILITY})
        alphas = [own.pop("alpha")]
    own |= {f"alpha{i}": alpha for i, alpha in enumerate(alphas)}
    return tuple(mix.MIXES[each.name][0] for each in parts), own
