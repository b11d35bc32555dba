"""Temperature scaling: one number that the logits are divided by, so that confidence is honest."""

import dataclasses

import numpy as np
import scipy
from jaxtyping import Float, Int

from bcjax.metrics import intervals
from bcjax.metrics.intervals import Estimate
from bcjax.metrics.predictions import Weights
from bcjax.runtime.result import Result

_HIGHEST = 100.0  # the highest temperature; the lowest is its inverse

# With fewer no temperature is fitted. Measured with labels drawn from the softmax of the logits (8
# classes, errors of 6 to 31 %, 60 draws each): fitted to 8 to 16 wrong answers, a temperature made
# the log loss of other pictures 1 to 2 % worse where it was right before, and 2 to 7 % better where
# the logits were 1.5 times too large. Fitted to 1 to 5, it made it worse by 1 to 14 % even there,
# mostly.
FEWEST = 30  # pictures
FEWEST_OF_EACH = 10  # right answers, and wrong ones

_GRID = (
    121  # temperatures, at equal steps of the logarithm, between which a resample's best is found
)


@dataclasses.dataclass(frozen=True)
class FittedTemperature(Result):
    """A temperature, or why there is none.

    Attributes:
      estimate: The temperature with its 95 % interval; None: none was fitted.
      why_not: Why none was fitted, as a sentence; "": one was.
    """

    estimate: Estimate | None
    why_not: str = ""

    @property
    def value(self) -> float:
        """What the logits are divided by: 1 where none was fitted."""
        return 1.0 if self.estimate is None or self.estimate.value is None else self.estimate.value

    @property
    def may_be_1(self) -> bool:
        """Whether its interval holds 1, at which the probabilities stay as they are."""
        found = self.estimate
        if found is None or found.low is None or found.high is None:
            return False
        return found.low <= 1 <= found.high


def fit_if_determined(
    logits: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, "N"],
    units: Int[np.ndarray, "N"],
    resamples: int = 1000,
) -> FittedTemperature:
    """Fits the temperature with its interval, unless there are too few pictures to say what it is.

    Right answers ask for a lower temperature, wrong ones for a higher one: without some of each,
    there is nothing between the two.

    Args:
      logits: Scores before the softmax, all finite.
      labels: True classes, in [0, C).
      units: For each picture, what it is resampled together with; see `intervals.units`.
      resamples: Resamples of the bootstrap behind the interval; 0: it has none.
    """
    n, wrong = len(labels), int((logits.argmax(axis=1) != labels).sum())
    if n < FEWEST or min(wrong, n - wrong) < FEWEST_OF_EACH:
        return FittedTemperature(
            None,
            f"No temperature was fitted: it takes {FEWEST} pictures or more, of which "
            f"{FEWEST_OF_EACH} or more are answered rightly and {FEWEST_OF_EACH} or more wrongly; "
            f"of these {n:,}, {wrong:,} are answered wrongly.",
        )
    # By their losses on a grid: to search anew for each resample takes 40 s for 10,000 pictures.
    logs = np.linspace(-np.log(_HIGHEST), np.log(_HIGHEST), _GRID)
    losses = np.stack([_losses(logits, labels, float(np.exp(log))) for log in logs], axis=1)

    def best(weights: Weights) -> dict[str, Float[np.ndarray, "R"]]:
        return {"temperature": np.exp(_lowest(logs, weights.T @ losses))}

    draws = intervals.bootstrap(best, units, resamples, seed=0).get("temperature")
    return FittedTemperature(intervals.estimate("", fit(logits, labels), units, draws))


def _lowest(at: Float[np.ndarray, "G"], losses: Float[np.ndarray, "R G"]) -> Float[np.ndarray, "R"]:
    """Returns where each row is lowest: the vertex of the parabola through its three lowest."""
    middle = np.clip(losses.argmin(axis=1), 1, len(at) - 2)
    rows = np.arange(len(losses))
    before, here, after = (losses[rows, middle + i] for i in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.where(bend > 0, 0.5 * (before - after) / np.where(bend > 0, bend, 1.0), 0.0)
    return at[middle] + np.clip(shift, -1, 1) * (at[1] - at[0])


def fit(logits: Float[np.ndarray, "N C"], labels: Int[np.ndarray, "N"]) -> float:
    """Returns the temperature with the lowest log loss (Guo et al., ICML 2017), in [0.01, 100].

    The loss is convex in the temperature's inverse, so it has one minimum. It has none where the
    true class of every picture has the highest logit: the lower the temperature the better, and the
    pictures cannot say how low. Then the temperature is 1, as it is where no other one is better.

    Args:
      logits: Scores before the softmax, all finite.
      labels: True classes, in [0, C).
    """
    highest = logits.max(axis=1)
    if (np.take_along_axis(logits, labels[:, None], axis=1)[:, 0] == highest).all():
        return 1.0
    end = float(np.log(_HIGHEST))
    best = scipy.optimize.minimize_scalar(
        lambda log: log_loss(logits, labels, float(np.exp(log))),
        bounds=(-end, end),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(np.exp(best.x)) if best.fun < log_loss(logits, labels, 1.0) else 1.0


def log_loss(
    logits: Float[np.ndarray, "N C"], labels: Int[np.ndarray, "N"], temperature: float
) -> float:
    """Returns the mean log loss at a temperature, in nats."""
    return float(_losses(logits, labels, temperature).mean())


def _losses(
    logits: Float[np.ndarray, "N C"], labels: Int[np.ndarray, "N"], temperature: float
) -> Float[np.ndarray, "N"]:
    """Returns the log loss of each picture at a temperature, in nats."""
    scaled = logits.astype(np.float64) / temperature
    true = np.take_along_axis(scaled, labels[:, None], axis=1)
    return scipy.special.logsumexp(scaled - true, axis=1)


def probabilities(logits: Float[np.ndarray, "N C"], temperature: float) -> Float[np.ndarray, "N C"]:
    """Returns the softmax of the logits divided by the temperature, float64."""
    # As `scipy.special.softmax`, to the bit: importing that takes a tenth of the time in which
    # `bcjax predict` answers for one picture.
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
