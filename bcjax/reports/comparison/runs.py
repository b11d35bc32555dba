"""What a run left in its folder, as far as it is compared."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.evaluation import answers as answering
from bcjax.evaluation.answers import Answers
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.training import loggers


@dataclasses.dataclass(frozen=True)
class Run:
    """A run and one evaluation of it.

    Attributes:
      name: Unique among those that are compared.
      workdir: Its folder.
      config: What it was trained with.
      pictures: Digest of the prepared set that it was trained on; "" if none is written down.
      result: The evaluation's figures.
      answers: The evaluation's answers.
      lines: Of `metrics.jsonl`.
      sessions: Of `sessions.jsonl`: from each start of the command to its end.
    """

    name: str
    workdir: Path
    config: ConfigDict
    pictures: str
    result: dict[str, Any]
    answers: Answers
    lines: list[dict[str, Any]]
    sessions: list[dict[str, Any]]


def find(paths: Sequence[Path]) -> list[Path]:
    """Returns the folders of the runs: a folder of members, given alone, stands for its members.

    Raises:
      UserError: If these are not two runs or more, or one is given twice.
    """
    found: list[Path] = []
    for path in paths:
        members = RunDir(path).members()
        is_run = RunDir(path).exists()
        found += members if members and (len(paths) == 1 or not is_run) else [path]
    if len(found) < 2:
        named = f"{found[0]} alone is" if found else "These are"
        raise UserError(f"{named} not enough to compare: give two runs or more.")
    resolved = [path.resolve() for path in found]
    for path, real in zip(found, resolved, strict=True):
        if resolved.count(real) > 1:
            raise UserError(f"{path} is given twice: a run cannot be compared with itself.")
    return found


def read(paths: Sequence[Path], evaluation: str) -> list[Run]:
    """Reads runs and their evaluations of one name.

    Args:
      paths: Their folders.
      evaluation: The name: a split, or another that `bcjax evaluate` wrote.

    Raises:
      UserError: If one is no run, has no such evaluation, or a damaged one.
    """
    # What they have in common is left out of their names.
    above = os.path.commonpath([path.resolve().parent for path in paths])
    return [_read(path, evaluation, os.path.relpath(path.resolve(), above)) for path in paths]


def _read(workdir: Path, evaluation: str, name: str) -> Run:
    config = configs.load(workdir)
    run_dir = RunDir(workdir)
    path = run_dir.evaluation(evaluation)
    if not path.exists():
        others = ", ".join(other.stem for other in run_dir.evaluations())
        raise UserError(
            f"{workdir} has no evaluation {evaluation!r}: run bcjax evaluate --workdir={workdir} "
            f"--split={evaluation}"
            + (f", or compare one that it has ({others})." if others else ".")
        )
    answers = answering.read(run_dir.answers(evaluation))
    result = files.read_json(path, mend="evaluate the run anew")
    if result["n"] != answers.n or len(set(answers.ids)) != answers.n:
        raise UserError(
            f"{path} and the answers beside it are not of one evaluation: run bcjax evaluate "
            f"--workdir={workdir} anew."
        )
    trained_on = run_dir.trained_on()
    return Run(
        name=name,
        workdir=workdir,
        config=config,
        pictures=trained_on.digest if trained_on else "",
        result=result,
        answers=answers,
        lines=loggers.read(run_dir.metrics),
        sessions=loggers.read(run_dir.sessions),
    )
