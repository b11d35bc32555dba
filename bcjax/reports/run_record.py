"""What a run left in its folder, as reports and comparisons read it."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.data.prepared import DATASHEET
from bcjax.evaluation import answers as answering
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluation import check_together
from bcjax.runtime.errors import UserError
from bcjax.runtime.files import read_json
from bcjax.runtime.run_dir import RunDir
from bcjax.training import loggers

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run and one evaluation of it. The other files are read when they are asked for.

    Attributes:
      run_dir: The folder of the run.
      evaluation: Name of the evaluation, mostly that of a split.
      config: The config that the run was trained with.
      result: The figures of the evaluation.
      answers: The logits of the evaluation; None if only figures were kept.
    """

    run_dir: RunDir
    evaluation: str
    config: ConfigDict
    result: Json
    answers: Answers | None

    @functools.cached_property
    def trained_on(self) -> Json:
        """`path`, `digest` and `counts` of the prepared set; empty if they were not kept."""
        return _json(self.run_dir.pictures)

    @functools.cached_property
    def datasheet(self) -> Json:
        """The datasheet of the prepared set; empty if the set is gone."""
        return _json(self.prepared_path / DATASHEET) if self.trained_on.get("path") else {}

    @functools.cached_property
    def log(self) -> list[dict[str, Any]]:
        """Lines of `metrics.jsonl`: figures of training and of the evaluations during it."""
        return loggers.read(self.run_dir.metrics)

    @functools.cached_property
    def sessions(self) -> list[dict[str, Any]]:
        """Lines of `sessions.jsonl`: one for each training process."""
        return loggers.read(self.run_dir.sessions)

    @functools.cached_property
    def others(self) -> dict[str, Json]:
        """The other evaluations of the run that have metrics, by name."""
        own = self.run_dir.evaluation(self.evaluation)
        paths = self.run_dir.evaluations(corruptions=False)
        found = {path.stem: _json(path) for path in paths if path != own}
        return {name: result for name, result in found.items() if "metrics" in result}

    @property
    def other_laboratories(self) -> dict[str, Json]:
        """The evaluations on other data than the run's own, by name."""
        own = self.config.data.source
        return {name: result for name, result in self.others.items() if result["source"] != own}

    @functools.cached_property
    def corruptions(self) -> Json:
        """The evaluation on corrupted pictures; empty if there is none."""
        return _json(self.run_dir.corruptions(self.evaluation))

    @functools.cached_property
    def explained(self) -> Json:
        """What `bcjax explain` wrote; empty if it was not run."""
        return _json(self.run_dir.explained)

    @property
    def source(self) -> str:
        """Name of the data that the run was trained on, without the folders above it."""
        return Path(self.config.data.source).name or str(self.config.data.source)

    @property
    def split(self) -> str:
        """The split that was evaluated."""
        return str(self.result["split"])

    @property
    def prepared_path(self) -> Path:
        """The folder of the prepared set that the run was trained on."""
        return Path(self.trained_on.get("path", ""))

    @property
    def cautions(self) -> list[str]:
        """Sentences without which the figures must not be read."""
        leaks = self.result.get("leaks")
        return [*self.result.get("cautions", ()), *([f"{leaks}."] if leaks else [])]

    def command(self, name: str, *flags: str) -> str:
        """Returns a command about this run, as code: "`bcjax evaluate --workdir=runs/a`"."""
        return " ".join((f"`bcjax {name} --workdir={self.run_dir}", *flags)) + "`"


def read_run(workdir: Path, evaluation: str = "") -> RunRecord:
    """Reads a run and one evaluation of it.

    Args:
      workdir: The folder of the run.
      evaluation: Name of the evaluation; "": the split that the run ended with.

    Raises:
      UserError: If there is no run, it has no such evaluation, or a file is damaged.
    """
    run_dir = RunDir(workdir)
    config = configs.load(workdir)
    name = evaluation or config.eval.final_split
    path, answers_path = run_dir.evaluation(name), run_dir.answers(name)
    result = _json(path)
    if "metrics" not in result:
        others = ", ".join(other.stem for other in run_dir.evaluations(corruptions=False))
        raise UserError(
            f"{workdir} has no evaluation {name!r}: run bcjax evaluate --workdir={workdir} "
            f"--split={name}" + (f", or name one that it has ({others})." if others else " first.")
        )
    answers = answering.read(answers_path) if answers_path.exists() else None
    if answers:
        check_together(path, result["n"], result["classes"], answers)
    return RunRecord(run_dir, name, config, result, answers)


def _json(path: Path) -> Json:
    """Reads a JSON file; returns an empty dictionary if there is none."""
    return read_json(path) if path.exists() else {}
