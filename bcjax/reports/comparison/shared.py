"""The pictures that all runs answered, in one order, under the same names of classes."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bcjax.evaluation.answers import Answers
from bcjax.reports.comparison.runs import Run
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Shared:
    """What can be compared picture by picture.

    Attributes:
      answers: Of each run, to the same pictures in the same order; the first run's classes.
      left_out: How many pictures of each run some other run did not answer.
    """

    answers: tuple[Answers, ...]
    left_out: tuple[int, ...]

    @property
    def n(self) -> int:
        return self.answers[0].n


def of(runs: Sequence[Run]) -> Shared:
    """Lays the runs' answers beside each other.

    Raises:
      UserError: If their classes differ, they answered no picture in common, or they were told
        different labels of one.
    """
    first = runs[0]
    for run in runs[1:]:
        _check_classes(first, run)
    everywhere = set.intersection(*(set(run.answers.ids) for run in runs))
    if not everywhere:
        raise UserError(
            f"{_listed(runs)} were evaluated on no picture in common: evaluate them on the same "
            "data, such as bcjax evaluate --workdir=RUN --data.source=PICTURES."
        )
    ids = tuple(id_ for id_ in first.answers.ids if id_ in everywhere)
    groups = _groups(runs, ids)
    chosen = tuple(_chosen(run.answers, first.answers.classes, ids, groups) for run in runs)
    for run, answers in zip(runs[1:], chosen[1:], strict=True):
        _check_labels(first, run, chosen[0], answers)
    return Shared(chosen, tuple(run.answers.n - len(ids) for run in runs))


def _listed(runs: Sequence[Run]) -> str:
    *most, last = (str(run.workdir) for run in runs)
    return f"{', '.join(most)} and {last}"


def _check_classes(first: Run, run: Run) -> None:
    ours, theirs = first.answers.classes, run.answers.classes
    lacks, more = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    if lacks or more:
        said = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has {', '.join(more)}"] * bool(more)
        raise UserError(
            f"{run.workdir} knows other classes than {first.workdir}: it {' and '.join(said)}; "
            "only runs with the same classes can be compared."
        )


def _check_labels(first: Run, run: Run, ours: Answers, theirs: Answers) -> None:
    differ = np.flatnonzero(ours.labels != theirs.labels)
    if len(differ):
        at = differ[0]
        names = [ours.classes[answers.labels[at]] for answers in (ours, theirs)]
        raise UserError(
            f"{len(differ)} of the pictures have other labels in {run.workdir} than in "
            f"{first.workdir}, such as {ours.ids[at]} ({names[1]}, not {names[0]}): evaluate both "
            "on the same labels."
        )


def _groups(runs: Sequence[Run], ids: Sequence[str]) -> tuple[str, ...]:
    """The groups as the first run tells that knows any: a run may have been given none."""
    for run in runs:
        known = dict(zip(run.answers.ids, run.answers.groups, strict=True))
        groups = tuple(known[id_] for id_ in ids)
        if any(groups):
            return groups
    return ("",) * len(ids)


def _chosen(
    answers: Answers, classes: tuple[str, ...], ids: tuple[str, ...], groups: tuple[str, ...]
) -> Answers:
    """The answers to these pictures, the classes in this order."""
    rows = {id_: row for row, id_ in enumerate(answers.ids)}
    picked = np.array([rows[id_] for id_ in ids])
    columns = np.array([answers.classes.index(name) for name in classes])
    return Answers(
        classes=classes,
        ids=ids,
        groups=groups,
        labels=columns.argsort()[answers.labels[picked]],
        logits=answers.logits[np.ix_(picked, columns)],
    )
