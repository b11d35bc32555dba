"""The comparison of runs as one typed object: everything that its page and its JSON say."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bcjax import config as configs
from bcjax import metrics
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.guards import comparisons
from bcjax.evaluation.inference_cost import InferenceCost
from bcjax.metrics import Estimate, Measurements, resampling
from bcjax.metrics import runs as several_runs
from bcjax.metrics.names import sign
from bcjax.metrics.resampling import Difference
from bcjax.metrics.runs import MeanOverRuns
from bcjax.reports.comparison import runs as read
from bcjax.reports.comparison import significance
from bcjax.reports.comparison.runs import AlignedAnswers, DifferingSetting, LearningCurves
from bcjax.reports.comparison.significance import MeasuredRun, PairedTest
from bcjax.reports.cost import Cost, cost
from bcjax.reports.pages.formatting import enumeration
from bcjax.reports.run_record import RunRecord
from bcjax.runtime import extras
from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result

if TYPE_CHECKING:
    import pandas as pd

_COSTS = ("flops", "parameters", "seconds_per_picture")


@dataclasses.dataclass(frozen=True)
class ComparedRun(Result):
    """What a comparison says of one run.

    Attributes:
      name: Unique among the compared runs.
      workdir: The folder of the run.
      network: Name of the network.
      checkpoint: Step of the evaluated checkpoint.
      cost: What the run costs.
      metrics: The metrics on the pictures that all runs have in common.
      curves: How the run learned.
      left_out: Pictures of its evaluation that another run was not evaluated on.
    """

    name: str
    workdir: Path
    network: str
    checkpoint: int
    cost: Cost
    metrics: Mapping[str, Estimate]
    curves: LearningCurves
    left_out: int

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON, with each cost beside the name."""
        page = super().to_dict()
        return page | page.pop("cost") | {"workdir": str(self.workdir)}


@dataclasses.dataclass(frozen=True)
class ClassComparison(Result):
    """One class in all runs.

    Attributes:
      name: Name of the class.
      n: Pictures of the class.
      recall: Recall of the class, by name of the run.
      difference: How much more the recall is than in the first group, by name of the other group.
    """

    name: str
    n: int
    recall: Mapping[str, Estimate | None]
    difference: Mapping[str, Difference]


@dataclasses.dataclass(frozen=True)
class RunGroup(Result):
    """The runs of one config, which differ in their seed alone; often a single run.

    Attributes:
      name: That of the run, or such as "all (3 seeds)".
      runs: Names of the runs.
      metric: The metric that decides, over the runs.
    """

    name: str
    runs: tuple[str, ...]
    metric: MeanOverRuns


@dataclasses.dataclass(frozen=True)
class Comparison(Result):
    """Runs compared on the pictures that all of them were evaluated on.

    Attributes:
      evaluation: Name of the compared evaluation, mostly that of a split.
      metric: The metric that decides.
      reference: Name of the first group of runs, with which each other group is compared.
      n: Pictures that all runs have in common.
      classes: Names of the classes.
      cautions: Sentences without which the figures must not be read, each after its run's name.
      notes: Sentences about what was compared, and what could not be.
      runs: The runs in the order in which they were given.
      groups: The runs of each config, in the order of their first runs.
      tests: Each group after the first, tested against the first.
      per_class: Each class in all runs.
      pareto: For each cost that differs, the names of the runs that no other run dominates.
      settings: The settings in which the runs differ.
      by: The setting among them over which the metric is shown; None: none.
    """

    evaluation: str
    metric: str
    reference: str
    n: int
    classes: tuple[str, ...]
    cautions: tuple[str, ...]
    notes: tuple[str, ...]
    runs: tuple[ComparedRun, ...]
    groups: tuple[RunGroup, ...]
    tests: tuple[PairedTest, ...]
    per_class: tuple[ClassComparison, ...]
    pareto: Mapping[str, tuple[str, ...]]
    settings: tuple[DifferingSetting, ...]
    by: str | None = None

    @property
    def names(self) -> list[str]:
        """Names of the runs."""
        return [run.name for run in self.runs]

    def to_pandas(self) -> "pd.DataFrame":
        """Returns a table with a row for each run: its network, its costs, its metrics.

        Raises:
          UserError: If pandas is not installed.
        """
        extras.check("pandas", "A table of a comparison")
        import pandas as pd

        rows = [
            {
                "network": run.network,
                "checkpoint": run.checkpoint,
                **_flat(run.cost),
                **{key: estimate.value for key, estimate in run.metrics.items()},
            }
            for run in self.runs
        ]
        return pd.DataFrame(rows, index=pd.Index(self.names, name="run"))


def _flat(spent: Cost) -> dict[str, Any]:
    """Returns each cost by its name; those of answers are None where they were not measured."""
    page = dict(vars(spent))
    inference = page.pop("inference")
    names = [field.name for field in dataclasses.fields(InferenceCost)]
    return page | {f"inference_{name}": getattr(inference, name, None) for name in names}


def compare(
    *workdirs: str | Path,
    evaluation: str = "test",
    metric: str = "accuracy",
    by: str | None = None,
) -> Comparison:
    """Compares runs, each config with the first, from what is in their folders.

    Runs that have the same config and pictures but for the seed are compared as one.

    Args:
      *workdirs: The folders of two runs or more, or one folder of members (`train.members`).
      evaluation: Name of the evaluation: a split, or another that `bcjax evaluate` wrote.
      metric: The metric that decides.
      by: A setting in which the runs differ, over which the metric is shown; None: none.

    Raises:
      UserError: If a run or its evaluation is missing or damaged, or the runs cannot be compared
        because their classes, pictures or labels differ.
    """
    records = read.read_runs(read.find_runs([Path(path) for path in workdirs]), evaluation)
    aligned = read.align(records)
    results = [
        _result(*each)
        for each in zip(records.values(), aligned.answers, aligned.left_out, strict=True)
    ]
    for record, result in zip(records.values(), results, strict=True):
        if metric not in result.metrics:
            raise UserError(
                f"The evaluation of {record.run_dir} has no metric {metric!r}: choose among "
                f"{', '.join(result.metrics)}."
            )
    measured = {
        name: _measure(answers, results[0].resamples, results[0].seed)
        for name, answers in zip(records, aligned.answers, strict=True)
    }
    grouped = read.group_by_config(records)
    groups = {group: [measured[name] for name in names] for group, names in grouped.items()}
    runs = [
        ComparedRun(
            name=name,
            workdir=record.run_dir.path,
            network=record.config.model.name,
            checkpoint=record.evaluation.checkpoint,
            cost=cost(record),
            metrics=result.metrics,
            curves=read.learning_curves(record, metric),
            left_out=left_out,
        )
        for (name, record), result, left_out in zip(
            records.items(), results, aligned.left_out, strict=True
        )
    ]
    names = list(records)
    settings = read.differing_settings(records)
    if by is not None:
        configs.check_key(by)
        if by == "seed":
            raise UserError(
                "Runs that differ in their seed alone are one config, whose mean is compared: name "
                "another setting than seed."
            )
        differing = [setting.key for setting in settings if setting.key != "seed"]
        if by not in differing:
            raise UserError(
                f"All runs have the same config.{by}: name a setting in which they differ"
                f"{' (' + ', '.join(differing) + ')' if differing else ''}, or compare other runs."
            )
    return Comparison(
        evaluation=evaluation,
        metric=metric,
        reference=next(iter(groups)),
        n=aligned.n,
        classes=aligned.answers[0].classes,
        cautions=(
            *(f"{name}: {each}" for name, record in records.items() for each in record.cautions),
            *comparisons.about_seeds([len(each) for each in groups.values()]),
        ),
        notes=tuple(_notes(records, runs, aligned)),
        runs=tuple(runs),
        groups=tuple(
            RunGroup(
                group,
                tuple(grouped[group]),
                several_runs.mean([run.metrics.metric(metric) for run in each]),
            )
            for group, each in groups.items()
        ),
        tests=significance.paired_tests(groups, metric),
        per_class=_per_class(names, results, groups, aligned.answers[0].classes),
        pareto=_pareto(runs, metric),
        settings=settings,
        by=by,
    )


def _measure(answers: Answers, resamples: int, seed: int) -> MeasuredRun:
    predictions = answers.predictions()
    return MeasuredRun(
        answers, resampling.resample(predictions, answers.groups, resamples=resamples, seed=seed)
    )


def _result(run: RunRecord, answers: Answers, left_out: int) -> Measurements:
    """Returns the evaluation as it was written, or that of the common pictures alone."""
    if not left_out:
        return run.evaluation
    return metrics.measure(
        answers.probabilities(),
        answers.labels,
        answers.classes,
        groups=answers.groups,
        resamples=run.evaluation.resamples,
        seed=run.evaluation.seed,
    )


def _notes(
    records: Mapping[str, RunRecord], runs: Sequence[ComparedRun], aligned: AlignedAnswers
) -> list[str]:
    """Returns what was compared, and what could not be."""
    notes = []
    if parts := [f"{run.left_out:,} of {run.name}" for run in runs if run.left_out]:
        notes.append(
            "The runs were not evaluated on the same pictures: all figures are of the "
            f"{aligned.n:,} that they have in common; left out are {enumeration(parts)}."
        )
    known = [each for record in records.values() if (each := record.trained_on)]
    if any(not a.same_pictures(b) for a, b in itertools.combinations(known, 2)):
        notes.append("The runs were not trained on the same pictures, or not on the same splits.")
    if len({run.cost.hardware for run in runs} - {""}) > 1:
        notes.append(
            "The runs were trained on different hardware, so their times cannot be compared."
        )
    return notes


def _per_class(
    names: Sequence[str],
    results: Sequence[Measurements],
    groups: Mapping[str, Sequence[MeasuredRun]],
    classes: Sequence[str],
) -> tuple[ClassComparison, ...]:
    rows = [{row.name: row for row in result.per_class} for result in results]
    reference, *others = groups
    return tuple(
        ClassComparison(
            name=class_,
            n=rows[0][class_].n,
            recall={name: row[class_].recall for name, row in zip(names, rows, strict=True)},
            difference={
                group: significance.difference(groups[group], groups[reference], "recall", label)
                for group in others
            },
        )
        for label, class_ in enumerate(classes)
    )


def _pareto(runs: Sequence[ComparedRun], metric: str) -> dict[str, tuple[str, ...]]:
    """Returns the undominated runs for each cost that is known, and differs, for two or more."""
    fronts = {}
    for kind in _COSTS:
        known = [
            (run.name, spent, sign(metric) * value)
            for run in runs
            if (spent := getattr(run.cost, kind)) is not None
            and (value := run.metrics[metric].value) is not None
        ]
        if len({spent for _, spent, _ in known}) > 1:
            names, costs, values = zip(*known, strict=True)
            best = significance.pareto_front(np.array(costs), np.array(values))
            fronts[kind] = tuple(itertools.compress(names, best))
    return fronts
