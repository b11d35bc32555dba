"""What an augmentation is: a pure function of one picture, and how strong it may be."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from bcjax.runtime.errors import UserError

# How the strength for one picture follows from the magnitude m that the config gives:
# "signed": drawn evenly from [-m, m]; "up_to": drawn evenly from [0, m]; "exact": m itself;
# "share": m itself, the share of the result in a blend with the original picture. RandAugment
# applies a "share" operation in full, whatever its magnitude.
Draw = Literal["signed", "up_to", "exact", "share"]


@dataclasses.dataclass(frozen=True)
class Argument:
    """A number that an augmentation takes.

    Attributes:
      default: The value where the config gives none.
      low: The lowest allowed value.
      high: The highest allowed value.
      unit: The unit in words, such as "degrees" or "share of the side"; "" for a plain number.
    """

    default: float
    low: float
    high: float
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.low <= self.default <= self.high:  # nor is NaN between any two
            raise UserError(
                f"An argument is {self.default} by default, which is not from {self.low} to "
                f"{self.high}."
            )


@dataclasses.dataclass(frozen=True)
class Op:
    """An augmentation of one picture.

    A picture is a float (H, W, C) array in 0..1, and the result has the same shape, dtype and
    range. At strength 0 an operation returns the picture unchanged, to the bit. All numbers are
    traced, so that another magnitude runs the same compiled program.

    Attributes:
      apply: `(key, image, strength, **options) -> image`. A geometric operation is
        `(key, strength, (H, W), **options) -> matrix` instead: a float32 (2, 3) matrix that says
        where in the picture each pixel of the result lies, in pixels from the middle, with
        (x', y') = matrix @ (x, y, 1).
      magnitude: The magnitude as an argument: its default, range and unit.
      draw: How the strength for one picture follows from the magnitude.
      paper: The publication that it comes from.
      geometric: Whether `apply` returns a matrix. The matrices of neighbours in a list are
        multiplied, so that the picture is interpolated once.
      full: The strength at the highest magnitude of RandAugment and TrivialAugment; 0 if they do
        not choose it.
      options: Further numbers by name.
    """

    apply: Callable
    magnitude: Argument
    draw: Draw
    paper: str
    geometric: bool = False
    full: float = 0.0
    options: Mapping[str, Argument] = dataclasses.field(default_factory=dict)


Function = TypeVar("Function", bound=Callable)


def in_turn(function: Function, at_once: Callable | None = None) -> Function:
    """Returns `function` such that its `lax.cond` and `lax.switch` stay branches under vmap on CPU.

    vmap computes every branch for each picture and selects one result. A CPU, whose two or twenty
    cores are busy anyway, goes through the batch in a loop instead and computes only the branch
    that is taken.

    Args:
      function: A function of arrays that belong to one picture.
      at_once: A function with the same results, written for accelerators; None: `function`.
    """
    mapped = jax.vmap(at_once or function)

    @jax.custom_batching.custom_vmap
    def one(*arguments: Any) -> Any:
        return function(*arguments)

    @one.def_vmap
    def batch(size: int, batched: list, *arguments: Any) -> tuple[Any, Any]:
        def with_batch_axis(argument: Any, has_one: Any) -> Any:
            return argument if has_one else jnp.broadcast_to(argument, (size, *jnp.shape(argument)))

        arguments = jax.tree.map(with_batch_axis, arguments, tuple(batched))
        result = lax.platform_dependent(
            *arguments,
            cpu=lambda *each: lax.map(lambda one: function(*one), each),
            default=mapped,
        )
        return result, jax.tree.map(lambda _: True, result)

    return one  # type: ignore[return-value]
