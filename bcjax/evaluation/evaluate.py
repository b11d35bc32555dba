"""`bcjax.evaluate`: checkpoints of a run on a split of its data or on other data."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bcjax.config import ImageSize
from bcjax.engine.network import check_free
from bcjax.evaluation import class_mapping, ensemble, member_summary, other_laboratory
from bcjax.evaluation import evaluation as evaluations
from bcjax.evaluation import soup as soups
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluation import Evaluation
from bcjax.evaluation.evaluator import Evaluator, OtherData, name_of
from bcjax.evaluation.guards import cautions
from bcjax.evaluation.prevalence import Stated
from bcjax.evaluation.views import View
from bcjax.evaluation.views import parse as parse_views
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.training_sessions import checkpoints_written, read_sessions

_POLL_SECONDS = 5.0

Checkpoint = str | int


def evaluate(
    workdir: str | Path,
    split: str = "test",
    *,
    checkpoint: Checkpoint | Sequence[Checkpoint] = "best",
    other: OtherData | None = None,
    batch_size: int | None = None,
    views: str | None = None,
    runs: Sequence[str | Path] = (),
    soup: soups.Kind | None = None,
    out: str | Path | None = None,
    strict: bool = False,
    prevalence: Stated | None = None,
) -> Evaluation:
    """Evaluates a run, and writes the evaluation and the answers to its folder.

    Several networks (further runs, several checkpoints) or views are averaged. The members of a run
    are evaluated one by one and together. The files are `eval/<name>.json` and `.parquet`, the name
    being the split's; for other data the source's name stands before it and the stain's method
    behind it, and what was averaged ends it: `-soup`, `-ensemble`, `-views`. At a stated prevalence
    its last word is `-prevalence`.

    Args:
      workdir: The run's folder.
      split: "train", "val" or "test". Other data without splits is evaluated as a whole.
      checkpoint: "best", "latest" or a step; several (a sequence, or text with commas) are
        averaged.
      other: Other data than the run's own, see `other_data`; None: the run's own.
      batch_size: Pictures at a time; None: as the run did.
      views: Views of each picture to average, such as "flip, turn, crop(0.9)"; see `views.parse`.
      runs: Folders of further runs to average with the first one.
      soup: "uniform" or "greedy": averages the weights instead of the answers.
      out: The folder to write the soup to, as a run.
      strict: Whether figures with cautions are refused, before anything is written.
      prevalence: The share of each class at which the networks answer; None: that of the training.

    Returns:
      The evaluation of the whole; `evaluation.path` is where it was written.

    Raises:
      UserError: If the arguments do not go together, or there is no such run, checkpoint, split,
        view or class; with `strict` also if there is any caution.
    """
    if soup not in (None, *soups.KINDS):
        raise UserError(f"There is no soup {soup!r}: choose of {', '.join(soups.KINDS)}.")
    if views is not None:
        parse_views(views)  # refused before anything is opened
    checkpoints = listed(checkpoint)
    folders = [Path(path) for path in (workdir, *runs)]
    workdirs = [run for path in folders for run in RunDir(path).members() or [path]]
    several = bool(runs) or len(checkpoints) > 1 or bool(soup and len(workdirs) > 1)
    if out and not soup:
        raise UserError("out is where a soup is written: give soup=greedy or uniform, too.")
    for path in workdirs:
        RunDir(path).check_exists()
    if soup and not several:
        raise UserError(
            f"soup={soup} needs several networks: name further runs, or several checkpoints such "
            "as best,latest."
        )
    if out:
        check_free(Path(out))
    averages = several or views is not None
    pictures: dict[str, Any] = {
        "split": split, "other": other, "batch_size": batch_size, "prevalence": prevalence,
    }  # fmt: skip
    if not averages and RunDir(folders[0]).members():
        return _evaluate_members(folders[0], checkpoints[0], pictures, strict)
    evaluators = [Evaluator(path, **pictures) for path in workdirs]
    first = evaluators[0]
    if not averages:
        return _write(*_evaluate_one(first, checkpoints[0]), first.workdir, first.name, strict)
    sizes = [ImageSize.of(each.config.data.image_size) for each in evaluators]
    parsed_views: tuple[View, ...] = ()
    if views is not None:
        parsed_views = parse_views(views, square=all(size.square for size in sizes))
    if not soup:
        evaluation, answers = ensemble.evaluate(evaluators, checkpoints, parsed_views)
        return _write(evaluation, answers, first.workdir, first.name, strict)
    evaluation, answers, network = soups.evaluate(evaluators, checkpoints, soup, parsed_views)
    evaluation = _write(evaluation, answers, first.workdir, first.name, strict)
    if out and evaluation.soup:
        soups.save(network, evaluation.soup, first.workdir, Path(out))
    return evaluation


def watch(evaluator: Evaluator, *, strict: bool = False) -> Iterator[Evaluation]:
    """Evaluates and writes each checkpoint of a run that is there or comes, until the run ends.

    A checkpoint that is deleted before its turn comes is left out; see `not_watched`.

    Args:
      evaluator: The evaluator of the run, and of the split.
      strict: Whether figures with cautions are refused, before anything is written.

    Yields:
      The evaluation of one checkpoint after another, `eval/<name>-<step>.json`.

    Raises:
      UserError: If there is no checkpoint and nothing is training, or these are several members.
    """
    run_dir = RunDir(evaluator.workdir)
    if members := run_dir.members():
        raise UserError(
            f"{evaluator.workdir} holds {len(members)} members: watch one of them, such as "
            f"{members[0]}."
        )
    done: set[int] = set()
    while True:
        running = run_dir.is_locked()  # read first: the last checkpoint precedes the end
        while new := sorted(set(evaluator.steps()) - done):
            done.add(new[0])
            try:
                evaluation, answers = _evaluate_one(evaluator, str(new[0]))
            except Exception:
                if new[0] in evaluator.steps():
                    raise
                continue  # deleted since it was listed, as the run makes room for others
            name = f"{evaluator.name}-{new[0]}"
            yield _write(evaluation, answers, evaluator.workdir, name, strict)
        if not running and not done:
            raise UserError(f"{evaluator.workdir} holds no checkpoint, and nothing trains there.")
        if not running:
            return
        time.sleep(_POLL_SECONDS)


def not_watched(evaluator: Evaluator, evaluated: Collection[int]) -> list[int]:
    """Returns the steps of the run's checkpoints that were deleted before they were evaluated.

    Args:
      evaluator: The evaluator that watched the run.
      evaluated: The steps of the checkpoints that it has evaluated.
    """
    written = checkpoints_written(read_sessions(RunDir(evaluator.workdir).sessions))
    last = max(evaluator.steps(), default=0)  # one that a kill left unfinished is beyond it
    return [step for step in written if step < last and step not in evaluated]


def other_data(
    source: str | Path | None,
    map_classes: str | Mapping[str, str] | None = None,
    stain: str | None = None,
    stain_reference: str | Path | None = None,
    max_pixels: int | None = None,
) -> OtherData | None:
    """Returns what a user says of other data; None: the run's own is evaluated.

    Args:
      source: Other data than the run's own, as in `config.data.source`; None or "": there is none.
      map_classes: Which of its classes is which of the run's, as a mapping or as text such as
        "band=neutrophil,artefact=-"; None: by name. See `class_mapping.map_classes`.
      stain: How its stain is normalised: "none", "reinhard" or "macenko"; None: as the run's.
      stain_reference: The picture whose stain it is given.
      max_pixels: The most pixels that one of its pictures may have; None: as the run's.

    Raises:
      UserError: If something is said of other data and there is none, or the map cannot be parsed.
    """
    given = {
        "map_classes": map_classes, "stain": stain, "stain_reference": stain_reference,
        "max_pixels": max_pixels,
    }  # fmt: skip
    if not source:
        for name, value in given.items():
            if value is not None:
                raise UserError(f"{name} is for other data: give its source, too.")
        return None
    mapping = class_mapping.parse(map_classes) if isinstance(map_classes, str) else map_classes
    reference = None if stain_reference is None else files.local_path(stain_reference)
    return OtherData(files.local_path(source), mapping, stain, reference, max_pixels)


def _evaluate_one(evaluator: Evaluator, which: str) -> tuple[Evaluation, Answers]:
    if evaluator.class_mapping is None:
        return evaluator.evaluate(which)
    return other_laboratory.evaluate(evaluator, which)


def _evaluate_members(
    workdir: Path,
    which: str,
    pictures: Mapping[str, Any],
    strict: bool,
) -> Evaluation:
    """Evaluates and writes each member and the whole; returns the whole, which comes last.

    Args:
      workdir: The folder of the run.
      which: "best", "latest" or a step.
      pictures: What is evaluated, as arguments of `Evaluator`.
      strict: Whether figures with cautions are refused.
    """
    evaluated = member_summary.evaluate_members(workdir, which, **pictures)
    if strict:  # before the first is written: the last has the cautions of all
        cautions.refuse(evaluated[workdir][0].cautions)
    written = [
        _write(evaluation, answers, folder, name_of(evaluation.split, pictures["other"]))
        for folder, (evaluation, answers) in evaluated.items()
    ]
    return written[-1]


def _write(
    evaluation: Evaluation, answers: Answers, workdir: Path, name: str, strict: bool = False
) -> Evaluation:
    if strict:
        cautions.refuse(evaluation.cautions)
    averaged = {
        "soup": evaluation.soup, "ensemble": evaluation.ensemble, "views": evaluation.views,
        "prevalence": evaluation.prevalence,
    }  # fmt: skip
    name = "-".join((name, *(kind for kind, part in averaged.items() if part)))
    return evaluations.write(evaluation, answers, workdir, name)


def listed(checkpoint: Checkpoint | Sequence[Checkpoint]) -> list[str]:
    """Returns the checkpoints that a user names: one, a sequence, or text with commas."""
    if isinstance(checkpoint, str):
        return [word.strip() for word in checkpoint.split(",") if word.strip()]
    return [str(checkpoint)] if isinstance(checkpoint, int) else [str(each) for each in checkpoint]
