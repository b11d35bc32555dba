"""The list of augmentations that a config names, as one pure function of a batch.

Each picture has a key of its own, so that it is augmented the same way wherever it lies: in which
place of the batch, on which device, from which store.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

from bcjax.augment import choice, dihedral, geometry, mix, spec, warp
from bcjax.augment.entry import Drawn, Entry, Numbers, Shape, Single
from bcjax.augment.op import Range
from bcjax.augment.table import OPS, PAPER_OPS
from bcjax.config import nearest
from bcjax.runtime.errors import UserError

_P = Range(1, 0, 1, "probability")
# What need not be interpolated where nothing else moves the pixels.
_REARRANGED = {"flip": dihedral.flip, "turn": dihedral.turn}
_CHOICES = ("rand_augment", "trivial_augment")
_MIXED = (*mix.MIXES, "one_of")


@dataclasses.dataclass(frozen=True, eq=False)  # by identity: jit hashes what it compiles
class Policy:
    """Augments a batch; `numbers` are apart, so that a step can take them as an argument.

    Attributes:
      numbers: Of each entry, by argument: a pytree of floats.
      mixes: Whether pictures are mixed, so that labels become probabilities.
    """

    numbers: tuple[Numbers, ...] = ()
    mixes: bool = False
    _entries: tuple[Entry, ...] = ()
    _choices: tuple[Callable, ...] = ()  # of mixing: one of them for each batch

    def __call__(
        self,
        key: Key[Array, ""],
        images: Float[Array, "B H W C"],
        index: Int32[Array, "B"],
        numbers: tuple[Numbers, ...],
    ) -> tuple[Float[Array, "B H W C"], Float[Array, ""]]:
        """Augments each picture by itself, then mixes each with the one before it, if at all.

        Args:
          key: Of the step.
          images: Float in 0..1.
          index: Of each picture in its split.
          numbers: As `self.numbers`, perhaps traced.

        Returns:
          The pictures, and the share of its own label that each keeps (see `mix.soft_labels`).
        """
        if self._entries:
            one = functools.partial(self._one, numbers=numbers)
            images = jax.vmap(one)(_keys(key, index), images)
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
            for i, weigh in enumerate(self._choices)
        ]
        weights = jnp.stack(each)[jax.random.randint(which_key, (), 0, len(each))]
        weights = jnp.where(jax.random.bernoulli(coin_key, numbers["p"]), weights, 1.0)
        return mix.blend(images, weights), weights.mean()

    def _one(
        self, key: Key[Array, ""], image: Float[Array, "H W C"], numbers: Sequence[Numbers]
    ) -> Float[Array, "H W C"]:
        shape: Shape = (image.shape[0], image.shape[1])
        moves: list[Drawn] = []  # not yet made
        keys = jax.random.split(key, len(self._entries))
        for entry, own_key, own in zip(self._entries, keys, numbers, strict=False):
            drawn = entry.draw(own_key, own, shape)
            if drawn.matrix is not None:
                moves.append(drawn)
            if drawn.paint is not None:
                image = drawn.paint(_moved(image, moves))
                moves = []
        return _moved(image, moves)


NO_AUGMENTATION = Policy()


def _keys(key: Key[Array, ""], index: Int32[Array, "B"]) -> Key[Array, "B"]:
    """A key for each picture, from its index; and another where it is in the batch again."""
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
    return warp.warp(image, functools.reduce(geometry.compose, matrices))


def build(ops: Sequence[str]) -> Policy:
    """Returns what the config's `augment.ops` describes.

    Each entry is "name", "name(magnitude)" or "name(magnitude, option=..., p=...)" of the table, in
    the order in which they are applied; "rand_augment(layers, magnitude, spread=, rate=, ops=())";
    "trivial_augment(ops=())"; and, last, "mixup(alpha, p=)", "cutmix(alpha, p=)" or
    "one_of(mixup(alpha), cutmix(alpha), p=)".

    Raises:
      UserError: For what is not written so, unknown or out of its range.
    """
    calls = [spec.parse(text) for text in ops]
    mixing = [call for call in calls if call.name in _MIXED]
    if mixing and (len(mixing) > 1 or calls[-1] is not mixing[0]):
        raise UserError(
            f"config.augment.ops has {mixing[0].text!r} before {calls[-1].text!r}: mix once, and "
            "last; one_of(mixup(0.2), cutmix(1)) chooses for each batch."
        )
    made = [_choice(c) if c.name in _CHOICES else _single(c) for c in calls if c not in mixing]
    numbers = [own for _, own in made]
    choices: tuple[Callable, ...] = ()
    if mixing:
        choices, own = _mixing(mixing[0])
        numbers.append(own)
    return Policy(tuple(numbers), bool(mixing), tuple(each for each, _ in made), choices)


def _single(call: spec.Call) -> tuple[Entry, Numbers]:
    if call.name not in OPS:
        known = [*OPS, *_CHOICES, *_MIXED]
        raise UserError(
            f"config.augment.ops has {call.text!r}: there is no augmentation {call.name!r}"
            f"{nearest(call.name, known)}"
        )
    op = OPS[call.name]
    numbers = spec.numbers(call, {"magnitude": op.magnitude, **op.options, "p": _P})
    rearrange = None if call.numbers or call.options else _REARRANGED.get(call.name)
    return Single(op, rearrange, sometimes="p" in call.options), numbers


def _choice(call: spec.Call) -> tuple[Entry, Numbers]:
    options = dict(call.options)
    given = options.pop("ops", PAPER_OPS)
    names = given if isinstance(given, tuple) else ()
    call = dataclasses.replace(call, options=options)
    for name in names:
        if name not in OPS or not OPS[name].full:
            known = [name for name, op in OPS.items() if op.full]
            raise UserError(
                f"config.augment.ops has {call.text!r}: {call.name} does not choose {name!r}"
                f"{nearest(name, known)}"
            )
    if not names:
        raise UserError(f"config.augment.ops has {call.text!r}: name some, as ops=(rotate, blur).")
    chosen = [OPS[name] for name in names]
    if call.name == "trivial_augment":
        return choice.Choice(chosen, 1, any_magnitude=True), spec.numbers(call, {})
    numbers = spec.numbers(call, {"layers": Range(2, 1, 8), **choice.RAND})
    return choice.Choice(chosen, int(numbers.pop("layers"))), numbers


def _mixing(call: spec.Call) -> tuple[tuple[Callable, ...], Numbers]:
    def alpha_of(name: str) -> Range:
        return Range(mix.MIXES[name][1], 1e-3, 1e3)

    if call.name == "one_of":
        strange = [each for each in call.calls if each.name not in mix.MIXES]
        if strange or not call.calls:
            raise UserError(
                f"config.augment.ops has {call.text!r}: one_of takes mixup(alpha), cutmix(alpha)."
            )
        parts = call.calls
        own = spec.numbers(call, {"p": _P})
        alphas = [spec.numbers(each, {"alpha": alpha_of(each.name)})["alpha"] for each in parts]
    else:
        parts = (call,)
        own = spec.numbers(call, {"alpha": alpha_of(call.name), "p": _P})
        alphas = [own.pop("alpha")]
    own |= {f"alpha{i}": alpha for i, alpha in enumerate(alphas)}
    return tuple(mix.MIXES[each.name][0] for each in parts), own
