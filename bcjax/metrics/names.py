"""The metrics by name: what each is called in text, its unit, its range, which way is better."""

import dataclasses
import math
from typing import NamedTuple


class Bounds(NamedTuple):
    """The least and the greatest value that a figure can have."""

    low: float
    high: float

    @property
    def of_differences(self) -> "Bounds":
        """The bounds of the differences between two values within these."""
        return Bounds(self.low - self.high, self.high - self.low)


FRACTION = Bounds(0.0, 1.0)
EVERYWHERE = Bounds(-math.inf, math.inf)


@dataclasses.dataclass(frozen=True)
class Description:
    """What a reader of a metric's value must know.

    Attributes:
      title: Its name in text, such as "macro F1".
      unit: The unit of its values; "" for a fraction or a score.
      bounds: The least and the greatest value that it can have.
      higher_is_better: Whether a higher value is better, as for accuracy, or a lower one.
    """

    title: str
    unit: str = ""
    bounds: Bounds = FRACTION
    higher_is_better: bool = True

    @property
    def label(self) -> str:
        """The title with the unit: "log loss (nats)"."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _lower(title: str, unit: str = "", high: float = 1.0) -> Description:
    return Description(title, unit, Bounds(0.0, high), higher_is_better=False)


DESCRIPTIONS = {
    "accuracy": Description("accuracy"),
    "balanced_accuracy": Description("balanced accuracy"),
    "macro_f1": Description("macro F1"),
    "weighted_f1": Description("weighted F1"),
    "macro_precision": Description("macro precision"),
    "kappa": Description("Cohen's kappa", bounds=Bounds(-1.0, 1.0)),
    "mcc": Description("Matthews correlation", bounds=Bounds(-1.0, 1.0)),
    "top_3_accuracy": Description("top 3 accuracy"),
    "top_5_accuracy": Description("top 5 accuracy"),
    "log_loss": _lower("log loss", unit="nats", high=math.inf),
    "brier": _lower("Brier score", high=2.0),
    "ece": _lower("expected calibration error"),
    "ace": _lower("adaptive calibration error"),
    "mce": _lower("maximum calibration error"),
    "macro_auc": Description("macro AUC"),
    "macro_average_precision": Description("macro average precision"),
    "aurc": _lower("area under risk-coverage"),
    "selective_accuracy_80": Description("accuracy on the surest 80 %"),
    "selective_accuracy_90": Description("accuracy on the surest 90 %"),
    "selective_accuracy_95": Description("accuracy on the surest 95 %"),
    # Of each class.
    "precision": Description("precision"),
    "recall": Description("recall"),
    "specificity": Description("specificity"),
    "f1": Description("F1"),
    "auc": Description("AUC"),
    "average_precision": Description("average precision"),
}


def describe(metric: str) -> Description:
    """Describes a metric; one that is not listed is a fraction, of which more is better.

    A metric of augmented pictures has the augmentation before its name: "blur(1)/log_loss".
    """
    under, _, name = metric.rpartition("/")
    found = DESCRIPTIONS.get(name) or Description(name.replace("_", " "))
    return dataclasses.replace(found, title=f"{found.title} under {under}") if under else found


def metric_name(metric: str) -> str:
    """Returns the name of a metric with its unit: "macro F1", "log loss (nats)"."""
    return describe(metric).label


def sign(metric: str) -> int:
    """Returns 1 where a higher value of the metric is better, -1 where a lower one is."""
    return 1 if describe(metric).higher_is_better else -1
