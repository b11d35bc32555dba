"""Lengths such as "20 epochs", and the one place that turns them into steps."""

import math

from bcjax.runtime import errors
from bcjax.runtime.errors import UserError

UNITS = ("steps", "epochs", "examples")
MOST_STEPS = 2**31 - 1  # a state counts its steps in 32 bits


def resolve_length(
    text: str,
    *,
    examples: int,
    batch_size: int,
    key: str = "length",
    shown: tuple[int, ...] = (),
) -> int:
    """Resolves a length to optimizer steps, rounded up.

    Args:
      text: "NUMBER steps", "NUMBER epochs" or "NUMBER examples"; singular units are fine.
      examples: Training pictures in one epoch.
      batch_size: Pictures per step.
      key: The config key, for the error message.
      shown: Where the batch size changed in the run: the step, and the pictures shown until then.

    Raises:
      UserError: If `text` is not of that form, or is more steps than can be counted.
    """
    number, _, unit = text.strip().partition(" ")
    unit = unit.strip().rstrip("s") + "s"
    try:
        count = float(number)
    except ValueError:
        count = math.nan
    if unit not in UNITS or not 0 <= count < math.inf:
        raise UserError(
            f"config.{key} is {errors.shown(text)}: write a length such as "
            '"20 epochs", "500 steps" or "100000 examples".'
        )
    per_unit = {"steps": 1.0, "epochs": examples / batch_size, "examples": 1 / batch_size}
    # A relative hair below the ceiling: 10 epochs of 64 in batches of 64 are 10 steps, not 11.
    steps, pictures = shown or (0, 0)
    if not shown or unit == "steps":
        exact = count * per_unit[unit] * (1 - 1e-12)
    else:
        left = count * (examples if unit == "epochs" else 1) - pictures
        exact = steps + max(0, left / batch_size * (1 - 1e-12))
    if exact > MOST_STEPS:
        raise UserError(f"config.{key} is {text!r}, more than {MOST_STEPS} steps: write less.")
    return math.ceil(exact)
