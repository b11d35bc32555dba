"""The result of an evaluation: its metrics, and what a reader must know about them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bcjax.evaluation import answers as answer_files
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration.measure import CalibrationMeasurements
from bcjax.metrics.intervals import Estimate, from_dicts, to_dicts
from bcjax.metrics.measurements import Measurements
from bcjax.runtime import extras, files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

if TYPE_CHECKING:
    import pandas

Estimates = Mapping[str, Estimate]


@dataclasses.dataclass(frozen=True)
class NetworkScores:
    """One of several networks that answered together, and the metrics that it has alone.

    Attributes:
      workdir: Folder of its run.
      checkpoint: Step of its checkpoint.
      metrics: Values by name.
      kept: Whether it is part of a soup; None: it is no ingredient of one.
    """

    workdir: str
    checkpoint: int
    metrics: Mapping[str, float]
    kept: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        kept = {} if self.kept is None else {"kept": self.kept}
        metrics = dict(self.metrics)
        return kept | {"workdir": self.workdir, "checkpoint": self.checkpoint, "metrics": metrics}


@dataclasses.dataclass(frozen=True)
class ViewScores:
    """One of the test-time views that were averaged, and the metrics that it has alone.

    Attributes:
      view: The view's name, such as "mirrored".
      metrics: Values by name.
    """

    view: str
    metrics: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class SoupRecipe:
    """What a soup, a mean of weights, is made of.

    Attributes:
      kind: "uniform" or "greedy".
      ingredients: Every network that was tried; `kept` says whether it is in the soup.
      chosen_on: The split on which a greedy soup was chosen; else "".
      chosen_by: The metric by which it was chosen; else "".
    """

    kind: str
    ingredients: tuple[NetworkScores, ...]
    chosen_on: str = ""
    chosen_by: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        chosen = {"chosen_on": self.chosen_on, "chosen_by": self.chosen_by}
        return {
            "kind": self.kind,
            **(chosen if self.chosen_on else {}),
            "ingredients": [each.to_dict() for each in self.ingredients],
        }

    @classmethod
    def from_dict(cls, page: Mapping[str, Any]) -> Self:
        """Returns the recipe that `to_dict` turned into plain values."""
        ingredients = tuple(NetworkScores(**each) for each in page["ingredients"])
        return cls(**{**page, "ingredients": ingredients})


@dataclasses.dataclass(frozen=True)
class MemberStatistic:
    """A metric over the members of a run.

    Attributes:
      mean: Mean over the members.
      deviation: Standard deviation of a member (denominator n - 1); None for a single member.
      low: Lower end of the mean's 95 % interval (Student's t): of the mean over all the seeds or
        folds there might be, on these pictures. None for a single member.
      high: Upper end of that interval.
      n: Number of members.
    """

    mean: float
    deviation: float | None
    low: float | None
    high: float | None
    n: int


@dataclasses.dataclass(frozen=True)
class MemberSummary:
    """How much the members of a run differ.

    Attributes:
      metrics: Each metric that is defined for all members, over the members.
      each: The metrics of each member.
    """

    metrics: Mapping[str, MemberStatistic]
    each: tuple[NetworkScores, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return {
            "metrics": {name: dataclasses.asdict(each) for name, each in self.metrics.items()},
            "each": [each.to_dict() for each in self.each],
        }

    @classmethod
    def from_dict(cls, page: Mapping[str, Any]) -> Self:
        """Returns the summary that `to_dict` turned into plain values."""
        metrics = {name: MemberStatistic(**each) for name, each in page["metrics"].items()}
        return cls(metrics, tuple(NetworkScores(**each) for each in page["each"]))


@dataclasses.dataclass(frozen=True)
class OpenAndClosed:
    """Accuracy and balanced accuracy where the classes of two laboratories overlap in part.

    Attributes:
      open: Which class is it, of all that the network knows? Estimates by metric.
      closed: Which class is it, of those that both laboratories have? Estimates by metric.
    """

    open: Estimates
    closed: Estimates

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return {"open": to_dicts(self.open), "closed": to_dicts(self.closed)}

    @classmethod
    def from_dict(cls, page: Mapping[str, Any]) -> Self:
        """Returns the figures that `to_dict` turned into plain values."""
        return cls(from_dicts(page["open"]), from_dicts(page["closed"]))


@dataclasses.dataclass(frozen=True)
class LaboratoryComparison:
    """A network on another laboratory's pictures beside the same classes at home.

    Attributes:
      classes: Their classes, and the home class of each.
      left_out: Their classes that have no home class, and how many pictures each has.
      stain: How the other pictures' stain was normalised: "none", or the method and its reference.
      home_stain: How the home pictures' stain was.
      n: Number of the other pictures.
      other: The figures of the other pictures.
      home: The figures of the home pictures of the same classes; None: there are none, see `why`.
      home_split: The split that the home pictures are of; "" without them.
      home_n: Number of the home pictures; 0 without them.
      drop: Home minus other, with intervals of independent resamples; None without `home`.
      why: Why there are no home pictures; "" if there are.
    """

    classes: Mapping[str, str]
    left_out: Mapping[str, int]
    stain: str
    home_stain: str
    n: int
    other: OpenAndClosed
    home: OpenAndClosed | None = None
    home_split: str = ""
    home_n: int = 0
    drop: OpenAndClosed | None = None
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        home = {"split": self.home_split, "n": self.home_n}
        return {
            "classes": dict(self.classes),
            "left_out": dict(self.left_out),
            "stain": self.stain,
            "home_stain": self.home_stain,
            "n": self.n,
            **self.other.to_dict(),
            "home": self.home and home | self.home.to_dict(),
            "drop": self.drop and self.drop.to_dict(),
            **({"why": self.why} if self.why else {}),
        }

    @classmethod
    def from_dict(cls, page: Mapping[str, Any]) -> Self:
        """Returns the comparison that `to_dict` turned into plain values."""
        home, drop = page["home"], page["drop"]
        names = ("classes", "left_out", "stain", "home_stain", "n")
        return cls(
            **{name: page[name] for name in names},
            other=OpenAndClosed.from_dict(page),
            home=OpenAndClosed.from_dict(home) if home else None,
            home_split=home["split"] if home else "",
            home_n=home["n"] if home else 0,
            drop=OpenAndClosed.from_dict(drop) if drop else None,
            why=page.get("why", ""),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation(Measurements):
    """The metrics of one or more networks on a split, and what a reader must know of them.

    It has the attributes of `Measurements`, too.

    Attributes:
      split: The split that was evaluated: "train", "val", "test", or "all" pictures of other data.
      checkpoint: Step of the checkpoint; of several networks that of the first one.
      source: Where the pictures are from, as in `config.data.source`.
      cautions: Sentences that a reader must know, such as that the network was trained on some of
        the pictures.
      leaks: A sentence on pictures that the splits share; "" if there are none.
      views: The test-time views that were averaged; empty: the pictures as they are.
      ensemble: The networks whose probabilities were averaged; empty: there is one network.
      soup: What the network's weights are the mean of; None: it is no soup.
      other_laboratory: Comparison with the home pictures; None: the pictures are the run's own.
      members: How much the members of the run differ; None: it has no members.
      held_out: Whether each member answered only the fold that it was not trained on; None without
        members.
      calibration: What the checkpoint's calibration does to these answers; None: there is none.
      path: The file it was written to or read from; None: it was not written.
    """

    split: str
    checkpoint: int
    source: str
    cautions: tuple[str, ...] = ()
    leaks: str = ""
    views: tuple[ViewScores, ...] = ()
    ensemble: tuple[NetworkScores, ...] = ()
    soup: SoupRecipe | None = None
    other_laboratory: LaboratoryComparison | None = None
    members: MemberSummary | None = None
    held_out: bool | None = None
    calibration: CalibrationMeasurements | None = None
    path: Path | None = dataclasses.field(default=None, compare=False)

    @property
    def answered_by(self) -> str:
        """What answered, such as "checkpoint 1200" or "ensemble of 5"."""
        if self.soup:
            return f"{self.soup.kind} soup of {len(self.soup.ingredients)}"
        if self.members:
            how = "each its own fold" if self.held_out else "the mean of their probabilities"
            return f"{len(self.members.each)} members ({how})"
        if self.ensemble:
            return f"ensemble of {len(self.ensemble)}"
        return f"checkpoint {self.checkpoint}"

    def __repr__(self) -> str:
        """Returns a few lines for people: what was evaluated, the main metrics, the cautions."""
        lines = [f"Evaluation of the {self.split} split, {self.answered_by}, n = {self.n:,}"]
        names = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss", "ece")
        lines += [f"  {name:18} {self.metrics[name]}" for name in names if name in self.metrics]
        return "\n".join([*lines, *(f"  {caution}" for caution in self.cautions)])

    def to_rows(self) -> list[dict[str, Any]]:
        """Returns a row for each metric: `class` (None: all classes), `metric`, and its estimate.

        The estimate is in the columns `value`, `low`, `high`, `interval` and `n`.
        """
        metrics: list[tuple[str | None, str, Estimate]]
        metrics = [(None, name, each) for name, each in self.metrics.items()]
        metrics += [
            (one.name, name, each or Estimate(None, one.n))
            for one in self.per_class
            for name, each in one.items()
        ]
        return [
            {"class": class_, "metric": name}
            | {key: getattr(each, key) for key in ("value", "low", "high", "interval", "n")}
            for class_, name, each in metrics
        ]

    def to_pandas(self) -> "pandas.DataFrame":
        """Returns the rows of `to_rows` as a table.

        Raises:
          UserError: If pandas is not installed.
        """
        extras.check("pandas", "A table of an evaluation")
        import pandas

        return pandas.DataFrame(self.to_rows())

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON (never NaN); what there is none of is left out."""
        page: dict[str, Any] = {
            "split": self.split,
            "checkpoint": self.checkpoint,
            "source": self.source,
        }
        if self.leaks:
            page["leaks"] = self.leaks
        page["cautions"] = list(self.cautions)
        if self.views:
            page["views"] = [dataclasses.asdict(each) for each in self.views]
        if self.ensemble:
            page["ensemble"] = [each.to_dict() for each in self.ensemble]
        if self.soup:
            page["soup"] = self.soup.to_dict()
        if self.other_laboratory:
            page["laboratory"] = self.other_laboratory.to_dict()
        if self.members:
            page |= {"members": self.members.to_dict(), "held_out": self.held_out}
        page |= super().to_dict()
        if self.calibration:
            page["calibration"] = self.calibration.to_dict()
        return page

    @classmethod
    def fields_from(cls, page: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the arguments of this class that plain values describe."""
        parts = {
            "soup": (SoupRecipe.from_dict, "soup"),
            "other_laboratory": (LaboratoryComparison.from_dict, "laboratory"),
            "members": (MemberSummary.from_dict, "members"),
            "calibration": (CalibrationMeasurements.from_dict, "calibration"),
        }
        return super().fields_from(page) | {
            "split": page["split"],
            "checkpoint": page["checkpoint"],
            "source": page.get("source", ""),
            "cautions": tuple(page.get("cautions", ())),
            "leaks": page.get("leaks", ""),
            "views": tuple(ViewScores(**each) for each in page.get("views", ())),
            "ensemble": tuple(NetworkScores(**each) for each in page.get("ensemble", ())),
            "held_out": page.get("held_out"),
            **{name: make(page[key]) for name, (make, key) in parts.items() if page.get(key)},
        }

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads the evaluation that was written to a JSON file.

        Raises:
          UserError: If there is no such file, or it holds no evaluation.
        """
        if not path.exists():
            raise UserError(
                f"There is no evaluation at {path}: run bcjax evaluate "
                f"--workdir={path.parent.parent}."
            )
        try:
            return dataclasses.replace(cls.from_dict(json.loads(path.read_text())), path=path)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is damaged ({error}): evaluate the run anew.") from error


def read_with_answers(path: Path) -> tuple[Evaluation, Answers]:
    """Reads an evaluation and the answers beside it.

    Raises:
      UserError: If one of them is missing or damaged, or they do not belong together.
    """
    evaluation, answers = Evaluation.read(path), answer_files.read(path.with_suffix(".parquet"))
    check_together(path, evaluation.n, evaluation.classes, answers)
    return evaluation, answers


def check_together(path: Path, n: int, classes: Sequence[str], answers: Answers) -> None:
    """Checks that an evaluation and the answers beside it belong together.

    Raises:
      UserError: If they differ in the number of pictures or in the classes.
    """
    if (answers.n, answers.classes) != (n, tuple(classes)):
        raise UserError(
            f"{path} and the answers beside it are not of one evaluation: run bcjax evaluate "
            f"--workdir={path.parent.parent} anew."
        )


def write(evaluation: Evaluation, answers: Answers, workdir: Path, name: str) -> Evaluation:
    """Writes `eval/<name>.json` and the answers beside it; returns the evaluation with its path."""
    path = RunDir(workdir).evaluation(name)
    answer_files.write(answers, RunDir(workdir).answers(name))
    files.write_json(path, evaluation.to_dict())
    return dataclasses.replace(evaluation, path=path)
