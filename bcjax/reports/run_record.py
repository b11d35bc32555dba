"""What a run left in its folder, as reports and comparisons read it."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.data.curate.datasheet import Datasheet
from bcjax.data.prepared import DATASHEET
from bcjax.evaluation import answers as answering
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluation import Evaluation, check_together
from bcjax.evaluation.explanation.summary import ExplanationSummary
from bcjax.evaluation.guards import cautions
from bcjax.evaluation.inference_cost import InferenceCost
from bcjax.exports.exported import CERTIFICATE, Exported
from bcjax.runtime.errors import UserError
from bcjax.runtime.files import read_json_lines
from bcjax.runtime.run_dir import RunDir, TrainedOn
from bcjax.runtime.training_sessions import Session, read_sessions

if TYPE_CHECKING:
    from bcjax.evaluation.corruptions.corruption_evaluation import CorruptionEvaluation


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run and one evaluation of it. The other files are read when they are asked for.

    Attributes:
      run_dir: The folder of the run.
      name: Name of the evaluation, mostly that of its split.
      config: The config that the run was trained with.
      evaluation: The evaluation.
      answers: The predictions that it is made of; None if they were not kept.
    """

    run_dir: RunDir
    name: str
    config: ConfigDict
    evaluation: Evaluation
    answers: Answers | None

    @functools.cached_property
    def trained_on(self) -> TrainedOn | None:
        """The prepared set that the run was trained on; None if it was not written down."""
        return self.run_dir.trained_on()

    @property
    def prepared_path(self) -> Path | None:
        """The folder of that set; None if it is not known."""
        path = self.trained_on.path if self.trained_on else ""
        return Path(path) if path else None

    @functools.cached_property
    def datasheet(self) -> Datasheet | None:
        """The datasheet of the prepared set; None if the set is gone."""
        path = self.prepared_path / DATASHEET if self.prepared_path else None
        if path is None or not path.exists():
            return None
        return Datasheet.read_file(path, "prepare the pictures again")

    @functools.cached_property
    def log(self) -> list[dict[str, Any]]:
        """Lines of `metrics.jsonl`: figures of training and of the evaluations during it."""
        return read_json_lines(self.run_dir.metrics)

    @functools.cached_property
    def sessions(self) -> list[Session]:
        """What `sessions.jsonl` holds: one for each training process."""
        return read_sessions(self.run_dir.sessions)

    @functools.cached_property
    def others(self) -> dict[str, Evaluation]:
        """The other evaluations of the run, by name; but for those on corrupted pictures."""
        own = self.run_dir.evaluation(self.name)
        paths = self.run_dir.evaluations(corruptions=False)
        return {path.stem: Evaluation.read(path) for path in paths if path != own}

    @property
    def other_laboratories(self) -> dict[str, Evaluation]:
        """The evaluations on other data than the run's own, by name."""
        own = self.config.data.source
        return {name: each for name, each in self.others.items() if each.source != own}

    @functools.cached_property
    def corruptions(self) -> "CorruptionEvaluation | None":
        """The evaluation on corrupted pictures; None if there is none."""
        path = self.run_dir.corruptions(self.name)
        if not path.exists():
            return None
        # Here, because it imports JAX, and the rest of a report does without it.
        from bcjax.evaluation.corruptions.corruption_evaluation import CorruptionEvaluation

        return CorruptionEvaluation.read_file(path, "evaluate the run anew")

    @functools.cached_property
    def explained(self) -> ExplanationSummary | None:
        """What `bcjax explain` wrote; None if it was not run."""
        path = self.run_dir.explained
        if not path.exists():
            return None
        return ExplanationSummary.read_file(path, "explain the run anew")

    @functools.cached_property
    def exported(self) -> Exported | None:
        """What `bcjax export` wrote to the run's folder; None if it was not run."""
        folder = self.run_dir.exported
        return Exported.read(folder) if (folder / CERTIFICATE).exists() else None

    @property
    def inference_cost(self) -> InferenceCost | None:
        """What its answers cost, where a report has measured it; None where none has."""
        path = self.run_dir.inference_cost
        if not path.exists():
            return None
        return InferenceCost.read_file(path, "delete it: the next report measures anew")

    @property
    def source(self) -> str:
        """Name of the data that the run was trained on, without the folders above it."""
        return Path(self.config.data.source).name or str(self.config.data.source)

    @property
    def cautions(self) -> tuple[str, ...]:
        """Sentences without which the figures must not be read."""
        return cautions.with_leaks(self.evaluation.cautions, self.evaluation.leaks)

    def command(self, name: str, *flags: str) -> str:
        """Returns a command about this run, as code: "`bcjax evaluate --workdir=runs/a`"."""
        return " ".join((f"`bcjax {name} --workdir={self.run_dir}", *flags)) + "`"


def read_run(workdir: Path, name: str = "") -> RunRecord:
    """Reads a run and one evaluation of it.

    Args:
      workdir: The folder of the run.
      name: Name of the evaluation; "": the split that the run ended with.

    Raises:
      UserError: If there is no run, it has no such evaluation, or a file is damaged.
    """
    run_dir = RunDir(workdir)
    config = configs.load(workdir)
    name = name or config.eval.final_split
    path, answers_path = run_dir.evaluation(name), run_dir.answers(name)
    others = run_dir.evaluations(corruptions=False)
    if path not in others:
        names = ", ".join(other.stem for other in others)
        raise UserError(
            f"{workdir} has no evaluation {name!r}: run bcjax evaluate --workdir={workdir} "
            f"--split={name}" + (f", or name one that it has ({names})." if names else " first.")
        )
    evaluation = Evaluation.read(path)
    answers = answering.read(answers_path) if answers_path.exists() else None
    if answers:
        check_together(path, evaluation.n, evaluation.classes, answers)
    return RunRecord(run_dir, name, config, evaluation, answers)
