"""Learning-rate schedules: the `optim.schedule` of a config as a function of the step."""

from collections.abc import Callable

import optax
from ml_collections import ConfigDict

from bcjax.runtime.errors import UserError


def _step_decay(config: ConfigDict, total_steps: int, warmup_steps: int) -> optax.Schedule:
    stages = [
        optax.constant_schedule(config.lr * config.step_factor**i)
        for i in range(len(config.step_at) + 1)
    ]
    return optax.join_schedules(
        stages, [round(at * total_steps) - warmup_steps for at in config.step_at]
    )


# By name: what follows the warm-up. Step 0 of these schedules is the first step after it.
SCHEDULES: dict[str, Callable[[ConfigDict, int, int], optax.Schedule]] = {
    "constant": lambda c, total, warmup: optax.constant_schedule(c.lr),
    "cosine": lambda c, total, warmup: optax.cosine_decay_schedule(
        c.lr, total - warmup, alpha=c.final_lr_fraction
    ),
    "linear": lambda c, total, warmup: optax.linear_schedule(
        c.lr, c.lr * c.final_lr_fraction, total - warmup
    ),
    "exponential": lambda c, total, warmup: optax.exponential_decay(
        c.lr, total - warmup, c.final_lr_fraction, end_value=c.lr * c.final_lr_fraction
    ),
    "step": _step_decay,
}


def create(config: ConfigDict, total_steps: int, warmup_steps: int) -> optax.Schedule:
    """Returns the learning rate of each step.

    The warm-up is linear and its first step already moves: step k < warmup_steps has
    lr * (k + 1) / (warmup_steps + 1), so that step `warmup_steps` is the first at `lr`. The decay
    then runs over the rest and would reach lr * final_lr_fraction at step `total_steps`, one past
    the last step of the run, and stays there. `step_at` counts from the start of the run, warm-up
    included; a drop that falls within the warm-up is taken at its end.

    Args:
      config: The `optim` branch: schedule, lr, final_lr_fraction (cosine, linear, exponential),
        step_at (fractions of the run) and step_factor (step).
      total_steps: Length of the run.
      warmup_steps: Length of the warm-up, 0 or more and less than `total_steps`.

    Returns:
      A function from the step, an integer counted from 0, to a learning rate of 0 or more.

    Raises:
      UserError: For fractions of the run that do not rise, an exponential decay to 0, or a warm-up
        as long as the run.
    """
    at = tuple(config.step_at)
    if not all(a < b for a, b in zip((0, *at), (*at, 1), strict=True)):
        raise UserError(
            f"config.optim.step_at is {at}: give rising fractions of the run, each between 0 and 1."
        )
    if config.schedule == "exponential" and not config.final_lr_fraction:
        raise UserError(
            "config.optim.final_lr_fraction is 0, which an exponential decay never reaches: give a "
            "fraction of optim.lr that is more than 0."
        )
    if not 0 <= warmup_steps < total_steps:
        raise UserError(
            f"A warm-up of {warmup_steps} steps does not fit in a run of {total_steps} steps: "
            "shorten the warm-up or lengthen the run."
        )
    after = SCHEDULES[config.schedule](config, total_steps, warmup_steps)
    if warmup_steps == 0:
        return after
    warmup = optax.linear_schedule(config.lr / (warmup_steps + 1), config.lr, warmup_steps)
    return optax.join_schedules([warmup, after], [warmup_steps])
