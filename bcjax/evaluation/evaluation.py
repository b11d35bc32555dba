"""The result of an evaluation: its metrics, and what a reader must know about them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bcjax.evaluation import answers as answer_files
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration.measure import CalibrationMeasurements
from bcjax.evaluation.disagreement import MeanDisagreement
from bcjax.evaluation.prevalence import Prevalence
from bcjax.metrics.intervals import Estimate
from bcjax.metrics.measurements import Measurements
from bcjax.metrics.runs import MeanOverRuns
from bcjax.runtime import extras, files
from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result
from bcjax.runtime.run_dir import RunDir

if TYPE_CHECKING:
    import pandas

Estimates = Mapping[str, Estimate]


@dataclasses.dataclass(frozen=True)
class NetworkScores(Result):
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


@dataclasses.dataclass(frozen=True)
class ViewScores(Result):
    """One of the test-time views that were averaged, and the metrics that it has alone.

    Attributes:
      view: The view's name, such as "mirrored".
      metrics: Values by name.
    """

    view: str
    metrics: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class SoupRecipe(Result):
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


@dataclasses.dataclass(frozen=True)
class MemberSummary(Result):
    """How much the members of a run differ.

    Attributes:
      metrics: Each metric that is defined for all members, over the members.
      each: The metrics of each member.
    """

    metrics: Mapping[str, MeanOverRuns]
    each: tuple[NetworkScores, ...]


@dataclasses.dataclass(frozen=True)
class OpenAndClosed(Result):
    """Accuracy and balanced accuracy where the classes of two laboratories overlap in part.

    Attributes:
      open: Which class is it, of all that the network knows? Estimates by metric.
      closed: Which class is it, of those that both laboratories have? Estimates by metric.
    """

    open: Estimates
    closed: Estimates


@dataclasses.dataclass(frozen=True)
class HomeFigures(OpenAndClosed):
    """The figures of the home pictures; it has the attributes of `OpenAndClosed`, too.

    Attributes:
      split: The split that the pictures are of.
      n: Number of the pictures.
      cautions: Sentences without which the figures must not be read.
    """

    split: str
    n: int
    cautions: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaboratoryComparison(OpenAndClosed):
    """A network on another laboratory's pictures beside the same classes at home.

    It has the attributes of `OpenAndClosed`, too: those of the other pictures.

    Attributes:
      classes: Their classes, and the home class of each.
      left_out: Their classes that have no home class, and how many pictures each has.
      stain: How the other pictures' stain was normalised: "none", or the method and its reference.
      home_stain: How the home pictures' stain was.
      n: Number of the other pictures.
      home: The figures of the home pictures of the same classes; None: there are none, see `why`.
      drop: Home minus other, with intervals of independent resamples; None without `home`.
      why: Why there are no home pictures; "" if there are.
    """

    classes: Mapping[str, str]
    left_out: Mapping[str, int]
    stain: str
    home_stain: str
    n: int
    home: HomeFigures | None
    drop: OpenAndClosed | None
    why: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation(Measurements):
    """The metrics of one or more networks on a split, and what a reader must know of them.

    It has the attributes of `Measurements`, too.

    Attributes:
      split: The split that was evaluated: "train", "val", "test", or "all" pictures of other data.
      checkpoint: Step of the checkpoint; of several networks that of the first one.
      source: Where the pictures are from, as in `config.data.source`.
      cautions: Sentences without which the figures must not be read, such as that the network was
        trained on some of the pictures; see `guards`.
      leaks: A sentence on pictures that the splits share; "" if there are none.
      views: The test-time views that were averaged; empty: the pictures as they are.
      ensemble: The networks whose probabilities were averaged; empty: there is one network.
      soup: What the network's weights are the mean of; None: it is no soup.
      laboratory: Comparison with the home pictures; None: the pictures are the run's own.
      members: How much the members of the run differ; None: it has no members.
      held_out: Whether each member answered only the fold that it was not trained on; None without
        members.
      calibration: What the checkpoint's calibration does to these answers; None: there is none.
      disagreement: How much the networks disagree that were averaged; None: there is one network,
        or each member answered its own fold.
      prevalence: The stated prevalence at which the probabilities are; None: that of the training.
      path: The file it was written to or read from; None: it was not written.
    """

    split: str
    checkpoint: int
    source: str
    cautions: tuple[str, ...]
    leaks: str = ""
    views: tuple[ViewScores, ...] = ()
    ensemble: tuple[NetworkScores, ...] = ()
    soup: SoupRecipe | None = None
    laboratory: LaboratoryComparison | None = None
    members: MemberSummary | None = None
    held_out: bool | None = None
    calibration: CalibrationMeasurements | None = None
    disagreement: MeanDisagreement | None = None
    prevalence: Prevalence | None = None
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
        """Returns a few lines for people: the cautions, what was evaluated, the main metrics."""
        lines = [f"Caution: {caution}" for caution in self.cautions]
        lines += [f"Evaluation of the {self.split} split, {self.answered_by}, n = {self.n:,}"]
        names = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss", "ece")
        lines += [f"  {name:18} {self.metrics[name]}" for name in names if name in self.metrics]
        return "\n".join(lines)

    def to_rows(self) -> list[dict[str, Any]]:
        """Returns a row for each metric: `class` (None: all classes), `metric`, and its estimate.

        The estimate is in the columns `value`, `low`, `high`, `interval` and `n`.
        """
        metrics: list[tuple[str | None, str, Estimate]]
        metrics = [(None, name, each) for name, each in self.metrics.items()]
        metrics += [
            (one.name, name, each or Estimate(None, one.n, None))
            for one in self.per_class
            for name, each in one.items()
        ]
        return [
            {"class": class_, "metric": name}
            | {key: getattr(each, key) for key in ("value", "low", "high", "interval", "n")}
            for class_, name, each in metrics
        ]

    def to_pandas(self) -> "pandas.DataFrame":
        """Returns the rows of `to_rows` as a table, with the cautions in its `attrs`.

        Raises:
          UserError: If pandas is not installed.
        """
        extras.check("pandas", "A table of an evaluation")
        import pandas

        table = pandas.DataFrame(self.to_rows())
        table.attrs["cautions"] = list(self.cautions)
        return table

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
        return dataclasses.replace(cls.read_file(path, "evaluate the run anew"), path=path)


def read_with_answers(path: Path) -> tuple[Evaluation, Answers]:
    """Reads an evaluation and the answers beside it.

    Raises:
      UserError: If one of them is missing or damaged, or they do not belong together.
    """
    evaluation, answers = Evaluation.read(path), answer_files.read(path.with_suffix(".parquet"))
    check_together(path, evaluation.n, evaluation.classes, answers)
    return evaluation, answers


def kept_answers(workdir: Path, split: str, step: int) -> Answers | None:
    """Returns the answers of a checkpoint to a split of the run's own data, if they were kept.

    Raises:
      UserError: If the files are damaged, or do not belong together.
    """
    path, kept = RunDir(workdir).evaluation(split), RunDir(workdir).answers(split)
    if not (path.exists() and kept.exists()):
        return None
    evaluation, answers = read_with_answers(path)
    return answers if (evaluation.checkpoint, evaluation.split) == (step, split) else None


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
    answer_files.write(answers, RunDir(workdir).answers(name), evaluation.cautions)
    files.write_json(path, evaluation.to_dict())
    return dataclasses.replace(evaluation, path=path)
