"""The runs that are compared: their folders, aligned predictions, costs, curves, settings."""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bcjax import config as configs
from bcjax.data.order import Order
from bcjax.evaluation import answers as answering
from bcjax.evaluation.answers import Answers
from bcjax.reports.pages.formatting import enumeration
from bcjax.reports.run_record import RunRecord, read_run
from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result
from bcjax.runtime.run_dir import RunDir

Runs = Mapping[str, RunRecord]
Curve = Sequence[tuple[int, float]]


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Returns the folders of the runs: a folder of members, given alone, stands for its members.

    Raises:
      UserError: If there are fewer than two runs, one is missing, or one is given twice.
    """
    folders: list[Path] = []
    for path in paths:
        run_dir = RunDir(path)
        members = run_dir.members()
        folders += members if members and (len(paths) == 1 or not run_dir.exists()) else [path]
    for path in folders:
        RunDir(path).check_exists()
    if len(folders) < 2:
        raise UserError(
            "To compare, give two runs or more" + (f", not {folders[0]} alone." if folders else ".")
        )
    resolved = [path.resolve() for path in folders]
    for path, real in zip(folders, resolved, strict=True):
        if resolved.count(real) > 1:
            raise UserError(f"{path} is given twice: a run cannot be compared with itself.")
    return folders


def read_runs(paths: Sequence[Path], evaluation: str) -> dict[str, RunRecord]:
    """Reads runs and one evaluation of each, by a name that is unique among them.

    Args:
      paths: The folders of the runs.
      evaluation: Name of the evaluation: a split, or another that `bcjax evaluate` wrote.

    Raises:
      UserError: If a folder holds no run, or its evaluation is missing or damaged.
    """
    # The folders above that all have in common are left out of the names.
    above = os.path.commonpath([path.resolve().parent for path in paths])
    return {os.path.relpath(path.resolve(), above): _read(path, evaluation) for path in paths}


def group_by_config(runs: Runs) -> dict[str, list[str]]:
    """Groups runs that have the same config and pictures, but for the seed.

    A run whose seed is in its group already is a repetition, which says nothing of other seeds, and
    begins another group.

    Returns:
      The names of each group's runs by the name of the group, which is the run's where it is one.
    """
    groups: list[tuple[dict[str, Any], dict[int, str]]] = []  # what is common; run by seed
    for name, run in runs.items():
        about = {key: value for key, value in configs.flatten(run.config).items()
                 if key != "seed" and not configs.KEYS[key].may_change}  # fmt: skip
        about["pictures"] = (
            (run.trained_on.digest, run.trained_on.pixels) if run.trained_on else None
        )
        seed = run.config.seed
        for common, by_seed in groups:
            if common == about and seed not in by_seed:
                by_seed[seed] = name
                break
        else:
            groups.append((about, {seed: name}))
    found = [[by_seed[seed] for seed in sorted(by_seed)] for _, by_seed in groups]
    stems = [_stem(names) for names in found]
    return {
        # By its first run, where two groups would have one name.
        _group_name(names, stem if stems.count(stem) == 1 else f"{names[0]}, ..."): names
        for names, stem in zip(found, stems, strict=True)
    }


def _stem(names: Sequence[str]) -> str:
    """Returns "all" for "all-seed-0", "all-seed-1" and "all-seed-2"."""
    stems = {re.sub(r"[-_./ ]*(seed)?[-_. ]*[0-9]+$", "", name) for name in names}
    return stems.pop() if len(stems) == 1 and stems != {""} else f"{names[0]}, ..."


def _group_name(names: Sequence[str], stem: str) -> str:
    return names[0] if len(names) == 1 else f"{stem} ({len(names)} seeds)"


def _read(path: Path, evaluation: str) -> RunRecord:
    run = read_run(path, evaluation)
    if run.answers is None:
        answering.read(run.run_dir.answers(evaluation))  # raises, because there are none
    return run


@dataclasses.dataclass(frozen=True)
class AlignedAnswers:
    """The predictions of runs for the same pictures, which can be compared one by one.

    Attributes:
      answers: Those of each run: the same pictures in the same order, classes in the first run's
        order.
      left_out: How many pictures of each run are not among the pictures of another run.
    """

    answers: tuple[Answers, ...]
    left_out: tuple[int, ...]

    @property
    def n(self) -> int:
        """How many pictures all runs have in common."""
        return self.answers[0].n


def align(runs: Runs) -> AlignedAnswers:
    """Aligns the predictions of runs.

    Raises:
      UserError: If the runs have different classes, no picture in common, or different labels for
        the same picture.
    """
    records = list(runs.values())
    answers = [_answers(run) for run in records]
    first = records[0]
    for run in records[1:]:
        _check_classes(first, run)
    common = set.intersection(*(set(each.ids) for each in answers))
    if not common:
        raise UserError(
            f"{enumeration([str(run.run_dir) for run in records])} were evaluated on no picture in "
            "common: evaluate them on the same data, such as bcjax evaluate --workdir=RUN "
            "--data.source=PICTURES."
        )
    ids = tuple(id_ for id_ in answers[0].ids if id_ in common)
    groups = _groups(answers, ids)
    aligned = tuple(_select(each, answers[0].classes, ids, groups) for each in answers)
    for run, each in zip(records[1:], aligned[1:], strict=True):
        _check_labels(first, run, aligned[0], each)
    return AlignedAnswers(aligned, tuple(each.n - len(ids) for each in answers))


def _answers(run: RunRecord) -> Answers:
    assert run.answers is not None  # as `read_runs` checked
    return run.answers


def _check_classes(first: RunRecord, run: RunRecord) -> None:
    ours, theirs = _answers(first).classes, _answers(run).classes
    lacks, more = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    if lacks or more:
        parts = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has {', '.join(more)}"] * bool(
            more
        )
        raise UserError(
            f"{run.run_dir} has other classes than {first.run_dir}: it {' and '.join(parts)}; "
            "only runs with the same classes can be compared."
        )


def _check_labels(first: RunRecord, run: RunRecord, ours: Answers, theirs: Answers) -> None:
    differ = np.flatnonzero(ours.labels != theirs.labels)
    if len(differ):
        at = differ[0]
        names = [ours.classes[answers.labels[at]] for answers in (ours, theirs)]
        raise UserError(
            f"{len(differ)} of the pictures have other labels in {run.run_dir} than in "
            f"{first.run_dir}, such as {ours.ids[at]} ({names[1]}, not {names[0]}): evaluate both "
            "on the same labels."
        )


def _groups(answers: Sequence[Answers], ids: Sequence[str]) -> tuple[str, ...]:
    """Returns the groups of the first run that has any: a run may have been given none."""
    for each in answers:
        known = dict(zip(each.ids, each.groups, strict=True))
        groups = tuple(known[id_] for id_ in ids)
        if any(groups):
            return groups
    return ("",) * len(ids)


def _select(
    answers: Answers, classes: tuple[str, ...], ids: tuple[str, ...], groups: tuple[str, ...]
) -> Answers:
    """Returns the predictions for some pictures, with the classes in another order."""
    row_of = {id_: row for row, id_ in enumerate(answers.ids)}
    rows = np.array([row_of[id_] for id_ in ids])
    columns = np.array([answers.classes.index(name) for name in classes])
    return Answers(
        classes=classes,
        ids=ids,
        groups=groups,
        labels=columns.argsort()[answers.labels[rows]],
        logits=answers.logits[np.ix_(rows, columns)],
    )


@dataclasses.dataclass(frozen=True)
class LearningCurves(Result):
    """How a run learned, as (pictures seen, value): comparable between batch sizes.

    Attributes:
      loss: Loss in training; empty if it was not logged.
      metric: The compared metric in the evaluations during training; empty if not logged.
    """

    loss: Curve
    metric: Curve


def learning_curves(run: RunRecord, metric: str) -> LearningCurves:
    """Reads the learning curves of a run, with one metric of its evaluations."""

    def curve(key: str) -> Curve:
        train = run.config.train
        order = Order(1, train.batch_size, 0, shown=train.shown)
        return [(order.position(line["step"]), line[key]) for line in run.log if key in line]

    return LearningCurves(curve("train/loss"), curve(f"{run.config.eval.split}/{metric}"))


@dataclasses.dataclass(frozen=True)
class DifferingSetting(Result):
    """A setting that is not the same in all runs.

    Attributes:
      key: Key of the config, such as "optim.lr".
      values: Its value in each run.
    """

    key: str
    values: tuple[Any, ...]


def differing_settings(runs: Runs) -> tuple[DifferingSetting, ...]:
    """Returns the settings in which the configs of runs differ."""
    flat = [configs.flatten(run.config) for run in runs.values()]
    settings = (DifferingSetting(key, tuple(each[key] for each in flat)) for key in flat[0])
    return tuple(
        setting
        for setting in settings
        if setting.key != "workdir"  # where a run was written is no difference
        and any(value != setting.values[0] for value in setting.values)
    )
