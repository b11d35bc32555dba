"""What a run left in its folder: all that its report is made of."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.data.prepared import DATASHEET
from bcjax.evaluation import answers as answering
from bcjax.evaluation.answers import Answers
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.training import loggers

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Artefacts:
    """Of one run. What is absent is empty.

    Attributes:
      workdir: Its folder.
      name: Of the evaluation that is reported: a split, mostly.
      result: Its figures.
      answers: What was answered; None where an earlier bcjax wrote figures alone.
      config: What the run was trained with.
      pictures: Where the prepared set was, its digest and its counts.
      datasheet: What was found in the set, and done to it; empty where the set is gone, too.
      lines: Of the metrics file: training's, and the evaluations' on the way.
      sessions: Each from a start of the command to its end.
      others: The other evaluations that have figures, by name.
      corruptions: That on spoilt pictures.
      explained: What `bcjax explain` wrote.
    """

    workdir: Path
    name: str
    result: Json
    answers: Answers | None
    config: ConfigDict
    pictures: Json
    datasheet: Json
    lines: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
    others: Mapping[str, Json]
    corruptions: Json
    explained: Json

    @property
    def source(self) -> str:
        """The data's name, without the folders above it."""
        return Path(self.config.data.source).name or str(self.config.data.source)

    @property
    def split(self) -> str:
        return str(self.result["split"])

    @property
    def several_seeds(self) -> bool:
        """Whether the run is one of several, or made of such."""
        return RunDir(self.workdir).is_one_of_several

    def command(self, name: str, *flags: str) -> str:
        """Returns a command about this run, as code."""
        return " ".join((f"`bcjax {name} --workdir={self.workdir}", *flags)) + "`"


def read(workdir: Path, name: str) -> Artefacts:
    """Reads what is there.

    Args:
      workdir: The run's folder.
      name: Of an evaluation; "": of the split that the run ends with.

    Raises:
      UserError: If there is no run, it was not evaluated, or a file is damaged.
    """
    config = configs.load(workdir)
    name = name or config.eval.final_split
    run_dir = RunDir(workdir)
    path = run_dir.evaluation(name)
    result = _json(path)
    if "metrics" not in result:
        raise UserError(
            f"{workdir} has no evaluation {name!r}: run bcjax evaluate --workdir={workdir} "
            f"--split={name} first."
        )
    table = run_dir.answers(name)
    found = answering.read(table) if table.exists() else None
    if found and (found.n, list(found.classes)) != (result["n"], result["classes"]):
        raise UserError(f"{path} and {table.name} are not of one evaluation: evaluate anew.")
    evaluations = {
        other.stem: _json(other)
        for other in run_dir.evaluations(corruptions=False)
        if other != path
    }
    pictures = _json(run_dir.pictures)
    return Artefacts(
        workdir=workdir,
        name=name,
        result=result,
        answers=found,
        config=config,
        pictures=pictures,
        datasheet=_json(Path(pictures["path"]) / DATASHEET) if "path" in pictures else {},
        lines=loggers.read(run_dir.metrics),
        sessions=loggers.read(run_dir.sessions),
        others={name: each for name, each in evaluations.items() if "metrics" in each},
        corruptions=_json(run_dir.corruptions(name)),
        explained=_json(run_dir.explained),
    )


def _json(path: Path) -> dict[str, Any]:
    """What a file holds; nothing where there is none."""
    return files.read_json(path) if path.exists() else {}
