"""`bcjax.evaluate`: checkpoints of a run on a split of its data or on other data."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bcjax.config import ImageSize
from bcjax.engine.network import check_free
from bcjax.evaluation import class_mapping, ensemble, member_summary, other_laboratory
from bcjax.evaluation import evaluation as evaluations
from bcjax.evaluation import soup as soups
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluation import Evaluation
from bcjax.evaluation.evaluator import Evaluator, OtherData, name_of
from bcjax.evaluation.views import View
from bcjax.evaluation.views import parse as parse_views
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

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
) -> Evaluation:
    """Evaluates a run, and writes the evaluation and the answers to its folder.

    Several networks (further runs, several checkpoints) or views are averaged. The members of a run
    are evaluated one by one and together. The files are `eval/<name>.json` and `.parquet`, the name
    being the split's; for other data the source's name stands before it and the stain's method
    behind it, and what was averaged ends it: `-soup`, `-ensemble`, `-views`.

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

    Returns:
      The evaluation of the whole; `evaluation.path` is where it was written.

    Raises:
      UserError: If the arguments do not go together, or there is no such run, checkpoint, split,
        view or class.
    """
    if soup not in (None, *soups.KINDS):
        raise UserError(f"There is no soup {soup!r}: choose of {', '.join(soups.KINDS)}.")
    if views is not None:
        parse_views(views)  # refused before anything is opened
    checkpoints = _listed(checkpoint)
    folders = [Path(path) for path in (workdir, *runs)]
    workdirs = [run for path in folders for run in RunDir(path).members() or [path]]
    several = bool(runs) or len(checkpoints) > 1 or bool(soup and len(workdirs) > 1)
    if soup and not several:
        raise UserError(
            f"soup={soup} needs several networks: name further runs, or several checkpoints such "
            "as best,latest."
        )
    if out and not soup:
        raise UserError("out is where a soup is written: give soup=greedy or uniform, too.")
    if out:
        check_free(Path(out))
    averages = several or views is not None
    if not averages and RunDir(folders[0]).members():
        return _evaluate_members(folders[0], checkpoints[0], split, other, batch_size)
    evaluators = [
        Evaluator(path, split=split, other=other, batch_size=batch_size) for path in workdirs
    ]
    first = evaluators[0]
    if not averages:
        return _write(*_evaluate_one(first, checkpoints[0]), first.workdir, first.name)
    sizes = [ImageSize.of(each.config.data.image_size) for each in evaluators]
    parsed_views: tuple[View, ...] = ()
    if views is not None:
        parsed_views = parse_views(views, square=all(size.square for size in sizes))
    if not soup:
        evaluation, answers = ensemble.evaluate(evaluators, checkpoints, parsed_views)
        return _write(evaluation, answers, first.workdir, first.name)
    evaluation, answers, network = soups.evaluate(evaluators, checkpoints, soup, parsed_views)
    evaluation = _write(evaluation, answers, first.workdir, first.name)
    if out and evaluation.soup:
        soups.save(network, evaluation.soup, first.workdir, Path(out))
    return evaluation


def watch(evaluator: Evaluator) -> Iterator[Evaluation]:
    """Evaluates and writes each checkpoint of a run that is there or comes, until the run ends.

    Args:
      evaluator: The evaluator of the run, and of the split.

    Yields:
      The evaluation of one checkpoint after another, `eval/<name>-<step>.json`.

    Raises:
      UserError: If there is no checkpoint and nothing is training.
    """
    run_dir = RunDir(evaluator.workdir)
    done: set[int] = set()
    while True:
        running = run_dir.is_locked()  # read first: the last checkpoint precedes the end
        while new := sorted(set(evaluator.steps()) - done):
            evaluation, answers = _evaluate_one(evaluator, str(new[0]))
            yield _write(evaluation, answers, evaluator.workdir, f"{evaluator.name}-{new[0]}")
            done.add(new[0])
        if not running and not done:
            raise UserError(f"{evaluator.workdir} holds no checkpoint, and nothing trains there.")
        if not running:
            return
        time.sleep(_POLL_SECONDS)


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
    workdir: Path, which: str, split: str, other: OtherData | None, batch_size: int | None
) -> Evaluation:
    """Evaluates and writes each member and the whole; returns the whole, which comes last."""
    evaluated = member_summary.evaluate_members(
        workdir, which, split=split, other=other, batch_size=batch_size
    )
    written = [
        _write(evaluation, answers, folder, name_of(evaluation.split, other))
        for folder, (evaluation, answers) in evaluated.items()
    ]
    return written[-1]


def _write(evaluation: Evaluation, answers: Answers, workdir: Path, name: str) -> Evaluation:
    averaged = {
        "soup": evaluation.soup, "ensemble": evaluation.ensemble, "views": evaluation.views,
    }  # fmt: skip
    name = "-".join((name, *(kind for kind, part in averaged.items() if part)))
    return evaluations.write(evaluation, answers, workdir, name)


def _listed(checkpoint: Checkpoint | Sequence[Checkpoint]) -> list[str]:
    if isinstance(checkpoint, str):
        return [word.strip() for word in checkpoint.split(",") if word.strip()]
    return [str(checkpoint)] if isinstance(checkpoint, int) else [str(each) for each in checkpoint]
