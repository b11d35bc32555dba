"""Turns of several sides, and what their answers come to.

A turn holds one answer of each side, measured one after the other: what slows the machine for a
while slows all sides, and the median of the turns' ratios says more than the ratio of medians.
A turn in which a virtual machine's host gave much of the processors' time to others is taken again.
"""

import functools
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from programs import NEVER, Answer, CutOffError, Deadline, FailedError

from bcjax.benchmark import machine

Turn = dict[str, Answer]  # by side
Ask = Callable[[], Answer]

T = TypeVar("T")


def trials(
    options: Mapping[str, Mapping[T, Ask]], deadline: Deadline = NEVER
) -> dict[str, dict[T, Answer]]:
    """Asks each side with each of its options, in turn: all sides with their first, and so on.

    Args:
      options: By side, and by option.
      deadline: Options after the first are tried only while there is time.

    Returns:
      By side and option, the answer; {"failed": why} where there was none.
    """
    answers: dict[str, dict[T, Answer]] = {side: {} for side in options}
    took = 0.0
    for some in itertools.zip_longest(*(each.items() for each in options.values())):
        if took and not deadline.allows(took):
            break
        began = time.monotonic()
        for side, option in zip(options, some, strict=True):
            if option is not None:
                answers[side][option[0]] = _attempt(option[1])
        took = time.monotonic() - began
    return answers


def best(tried: Mapping[T, Answer]) -> T:
    """Returns the option with the most images/s.

    Raises:
      FailedError: If none has an answer.
    """
    done = [option for option, each in tried.items() if "failed" not in each]
    if not done:
        raise FailedError("; ".join(each["failed"] for each in tried.values()))
    return max(done, key=lambda option: tried[option]["images_per_s"])


def take(
    asks: Mapping[str, Ask],
    count: int,
    known: Mapping[str, Answer] | None = None,
    deadline: Deadline = NEVER,
    **counts: int,
) -> list[Turn]:
    """Asks all sides, turn after turn.

    Args:
      asks: By side.
      count: Turns.
      known: Answers for the first try of the first turn that there are already, from trials.
      deadline: Turns after the first are taken only while there is time.
      **counts: Turns of single sides, where they are fewer.

    Raises:
      FailedError: If a side does not answer; but a later turn that is cut off is left out.
    """
    turns: list[Turn] = []
    for number in range(count):
        sides = [side for side in asks if number < counts.get(side, count)]
        if turns and not deadline.allows(sum(turns[0][side]["process_s"] for side in sides)):
            break
        ready = dict(known or {}) if number == 0 else {}
        try:
            turn = settled(functools.partial(_ask, asks, sides, ready), deadline)
        except CutOffError:
            if not turns:
                raise
            break
        turns.append(turn)
        rates = ", ".join(f"{side} {each['images_per_s']:,.1f}" for side, each in turn.items())
        said = f"turn {number + 1}: {rates} images/s, {stolen(turn):.1%} of the time stolen"
        print(said, file=sys.stderr)
    return turns


def settled(ask: Callable[[], Turn], deadline: Deadline = NEVER) -> Turn:
    """Takes a turn, and once more if it was disturbed and there is time.

    Returns:
      The less disturbed of the two.
    """
    turn = ask()
    seconds = sum(each["process_s"] for each in turn.values())
    if stolen(turn) <= machine.DISTURBED or not deadline.allows(seconds):
        return turn
    try:
        return min(turn, ask(), key=stolen)
    except CutOffError:
        return turn


def _ask(asks: Mapping[str, Ask], sides: Iterable[str], ready: dict[str, Answer]) -> Turn:
    return {side: ready.pop(side, None) or asks[side]() for side in sides}


def stolen(turn: Turn) -> float:
    """How disturbed a turn was: the largest share of the processors' time that a side lacked."""
    return max(each["stolen_share"] for each in turn.values())


def median(turns: Sequence[Turn], side: str, key: str = "images_per_s") -> float | None:
    """The median of one figure of a side, over the turns in which it said one; None: in none."""
    found = [turn[side][key] for turn in turns if key in turn.get(side, {})]
    return statistics.median(found) if found else None


def ratio(turns: Sequence[Turn], side: str, other: str, key: str = "images_per_s") -> float:
    """The median of the ratios of two sides, over the turns that both had a part in."""
    both = [turn for turn in turns if side in turn and other in turn]
    return statistics.median(turn[side][key] / turn[other][key] for turn in both)


def _attempt(ask: Ask) -> Answer:
    try:
        return ask()
    except FailedError as error:
        print(error, file=sys.stderr)
        return {"failed": str(error)[-300:]}
