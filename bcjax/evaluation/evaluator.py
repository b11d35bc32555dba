"""The evaluator: each picture of a split answered exactly once, and measured."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.config import ImageSize
from bcjax.data.ancestry import Ancestry
from bcjax.data.input_transform import InputTransform
from bcjax.data.preparation import prepare
from bcjax.data.prepared import PreparedSet
from bcjax.data.store import choose_store, open_store
from bcjax.engine import dispatch, network
from bcjax.engine.loader import Loader, View, predict_split
from bcjax.engine.network import RestoredNetwork
from bcjax.engine.step import predict_step
from bcjax.evaluation import evaluation as evaluations
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.augmented_view import AugmentedView
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.calibration.measure import measure
from bcjax.evaluation.class_mapping import ClassMapping, map_classes
from bcjax.evaluation.disagreement import MeanDisagreement
from bcjax.evaluation.evaluation import Evaluation
from bcjax.evaluation.guards import cautions
from bcjax.evaluation.guards.pictures import EvaluatedSplit
from bcjax.evaluation.prevalence import Stated, state
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.stages import Told


@dataclasses.dataclass(frozen=True)
class OtherData:
    """Pictures that are not the run's own.

    Attributes:
      source: Where they are, as in `config.data.source`. Where they have no splits, all of them are
        evaluated.
      map_classes: Their class to the run's class, or to "-", which leaves it out; None: classes
        belong together by name. See `class_mapping.map_classes`.
      stain: How their stain is normalised: "none", "reinhard" or "macenko"; None: as the run's.
      stain_reference: Path of the picture whose stain they are given; None: the method's own.
      max_pixels: The most pixels that one of them may have; None: as the run's.
    """

    source: str
    map_classes: Mapping[str, str] | None = None
    stain: str | None = None
    stain_reference: str | Path | None = None
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        """Checks that the stain's reference has a method.

        Raises:
          UserError: If it has none.
        """
        if self.stain_reference is not None and self.stain in (None, "none"):
            raise UserError("data.stain_reference needs data.stain=reinhard or macenko.")

    def settings(self) -> dict[str, Any]:
        """Returns the changes to the config's `data` branch: nothing is held back or dropped."""
        changes: dict[str, Any] = {
            "source": self.source, "val_fraction": 0.0, "test_fraction": 0.0, "drop_classes": (),
        }  # fmt: skip
        if self.stain is not None:
            stain = None if self.stain == "none" else self.stain
            changes |= {"stain": stain, "stain_reference": None, "stain_sha256": None}
        if self.stain_reference is not None:
            changes["stain_reference"] = str(Path(self.stain_reference).absolute())
        if self.max_pixels is not None:
            configs.check_argument("max_pixels", self.max_pixels, like="data.max_pixels")
            changes["max_pixels"] = self.max_pixels
        return changes


def name_of(split: str, other: OtherData | None) -> str:
    """Returns an evaluation's name: the split, with other data's name and stain about it."""
    if other is None:
        return split
    return "-".join(filter(None, (Path(other.source).stem, split, other.stain)))


class Evaluator:
    """Evaluates checkpoints of a run, rebuilt from its folder, on one split.

    Attributes:
      workdir: The run's folder.
      name: The name of its evaluations.
      split: What is evaluated: "train", "val", "test", or "all" pictures of other data.
      config: The run's config, with the other data's settings.
      prepared: The pictures.
      class_mapping: From other data's classes to the run's; None: the data is the run's own.
      feed: The split as batches on the devices.
      mesh: The devices.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        split: str,
        other: OtherData | None = None,
        batch_size: int | None = None,
        prevalence: Stated | None = None,
    ):
        """Reads the run's config and opens the pictures.

        Args:
          workdir: The run's folder.
          split: The split to evaluate.
          other: Other pictures than the run's own; None: the run's own.
          batch_size: Pictures at a time; None: as the run did.
          prevalence: The share of each class at which it answers; None: that of the training.

        Raises:
          UserError: If there is no run, it has no pictures, no such split, or a class of the other
            pictures that belongs nowhere.
        """
        configs.check_argument("batch_size", batch_size, like="eval.batch_size")
        self.workdir, self._stated = workdir, prevalence
        self.config = config = configs.load(workdir)
        classes, dropped = config.data.classes or (), config.data.drop_classes
        if other:
            config.data.update(other.settings())
        elif not config.data.source:
            raise UserError(
                f"{workdir} was made from weights and has no pictures of its own: evaluate it on "
                f"others (bcjax evaluate --workdir={workdir} --data.source=PICTURES)."
            )
        self._batch_size = batch_size or config.eval.batch_size or config.train.batch_size
        self.mesh = meshes.create()
        own = other is None
        self.prepared = prepare(config.data, complete=own, own_names=not own)
        self._held_as = split  # the split's name in the prepared set
        if other and list(self.prepared.counts) == ["train"]:
            self._held_as, split = "train", "all"
        elif not self.prepared.size(split):
            raise UserError(
                f"{self.prepared.path} has no {split} split: it has "
                f"{self.prepared.describe_splits()}."
            )
        self.split, self.name = split, name_of(split, other)
        at_once = min(self._batch_size, self.prepared.size(self._held_as))
        meshes.check_memory(self.mesh, at_once, ImageSize.of(config.data.image_size))
        self.class_mapping: ClassMapping | None = None
        if other:
            home = [name for name in classes if name not in dropped]
            counts = self.prepared.counts[self._held_as]
            theirs = dict(zip(self.prepared.classes, counts, strict=True))
            self.class_mapping = map_classes(other.source, theirs, home, other.map_classes, dropped)
        self.feed = self._open_feed()
        self._predict: Callable | None = None

    @functools.cached_property
    def pictures(self) -> EvaluatedSplit:
        """The pictures, and those that made the network; read when a figure is made of them."""
        if self.class_mapping is None:
            return EvaluatedSplit.of_run(self.workdir, self.config, self.prepared, self.split)
        labels = [i for i, home in enumerate(self.class_mapping.to_home) if home >= 0]
        return EvaluatedSplit.of_other_data(
            self.workdir,
            self.config.data.source,
            self.prepared,
            self._held_as,
            self.split,
            labels,
        )

    def _open_feed(self) -> Loader:
        data = self.config.data
        needed = self.prepared.size(self._held_as) * ImageSize.of(data.image_size).pixels * 3
        kind, _ = choose_store(data.store, needed, meshes.device_memory())
        store = open_store(
            self.prepared, self._held_as, kind, InputTransform.from_config(data), data.threads
        )
        return Loader(store, data, self.mesh)

    def for_member(self, workdir: Path) -> Self:
        """Returns an evaluator of another member of the same run.

        It shares the pictures, which are decoded once, and the compiled program.
        """
        other = copy.copy(self)
        other.workdir = workdir
        other.pictures = self.pictures.answered_by(Ancestry.read(workdir, self.prepared))
        return other

    def steps(self) -> list[int]:
        """Returns the steps whose checkpoints are there now."""
        return network.open_checkpoints(self.workdir, self.config).steps()

    def load(self, which: str) -> RestoredNetwork:
        """Reads the network at "best", "latest" or a step.

        Raises:
          UserError: If there is no such checkpoint.
        """
        return network.load(self.workdir, which, self.mesh)

    def answers(self, trained: RestoredNetwork, view: View | None = None) -> Answers:
        """Answers the split's pictures, or a view of each, with a network of this run.

        Raises:
          UserError: If an answer is not finite, or the stated prevalence does not fit.
        """
        found = None
        if self._stated is not None:  # first: a mistake in it is told before anything is answered
            found = state(self._stated, self.workdir, trained.config, trained.classes)
        if self._predict is None:  # compiled once, whatever number of checkpoints follows
            model = self.config.model
            step = predict_step(trained.model, model.mean, model.std)
            self._predict = dispatch.compile_predict(step, self.mesh)
        logits, labels = predict_split(
            self._predict, trained.variables, self.feed, self.mesh, self._batch_size, view
        )
        answers = Answers.of_split(self.prepared, self._held_as, logits, labels)
        answers = self.class_mapping(answers) if self.class_mapping else answers
        if found is None:
            return answers
        found.check_occurring(answers.labels, answers.classes)
        return dataclasses.replace(answers, prevalence=found)

    def features(
        self, trained: RestoredNetwork
    ) -> tuple[Float[np.ndarray, "N F"], Int[np.ndarray, "N"]]:
        """Returns what the classifier layer reads for the split's pictures, float32, and labels."""
        model = self.config.model
        step = predict_step(trained.model, model.mean, model.std, "features")
        predict = dispatch.compile_predict(step, self.mesh)
        return predict_split(predict, trained.variables, self.feed, self.mesh, self._batch_size)

    def evaluate(self, which: str) -> tuple[Evaluation, Answers]:
        """Evaluates "best", "latest" or a step, with its calibration if there is one.

        Raises:
          UserError: If there is no such checkpoint.
        """
        trained = self.load(which)
        answers = self.answers(trained)
        calibration = calibrations.read(self.workdir, trained.step)
        return self.evaluate_answers(answers, trained.step, calibration=calibration), answers

    def evaluate_answers(
        self,
        answers: Answers,
        checkpoint: int,
        pictures: EvaluatedSplit | None = None,
        **parts: Any,
    ) -> Evaluation:
        """Measures answers to this split, whatever answered; see the function of this name."""
        resamples, pictures = self.config.eval.resamples, pictures or self.pictures
        return evaluate_answers(answers, pictures, checkpoint, resamples=resamples, **parts)


def evaluate_answers(
    answers: Answers,
    pictures: EvaluatedSplit,
    checkpoint: int,
    *,
    resamples: int,
    calibration: Calibration | None = None,
    extra_cautions: tuple[str, ...] = (),
    **parts: Any,
) -> Evaluation:
    """Measures answers, and their calibration, and says what a reader must know.

    Args:
      answers: The answers.
      pictures: The pictures that were answered.
      checkpoint: Step of the checkpoint that answered, or of the first of several.
      resamples: Number of bootstrap resamples.
      calibration: The checkpoint's calibration; None, or one of other classes: none is measured.
      extra_cautions: Sentences beside those about the pictures.
      **parts: Further attributes of the `Evaluation`.
    """
    stated = (answers.prevalence.sentence,) if answers.prevalence else ()
    known = (*pictures.cautions, *extra_cautions, *stated)
    sentences = cautions.with_leaks(known, pictures.leaks)
    measured = None
    if calibration and calibration.classes == answers.classes:
        calibration = calibration.at(answers.prevalence)
        measured = measure(calibration, answers)
        sentences += cautions.about_calibration(pictures, calibration)
    apart = None
    if answers.disagreement:
        right = answers.probabilities().argmax(axis=1) == answers.labels
        apart = MeanDisagreement.of(answers.disagreement, right)
    return Evaluation(
        **vars(answers.measure(resamples=resamples)),
        split=pictures.split,
        checkpoint=checkpoint,
        source=pictures.source,
        cautions=sentences,
        leaks=pictures.leaks,
        calibration=measured,
        disagreement=apart,
        prevalence=answers.prevalence,
        **parts,
    )


def evaluate_final(
    workdir: Path,
    config: ConfigDict,
    prepared: PreparedSet,
    checkpoint: int,
    answer: Callable[[str, View | None], Answers],
    also: Sequence[AugmentedView] = (),
    *,
    writes: bool = True,
    told: Told = lambda doing: None,
) -> tuple[Evaluation, Answers]:
    """Ends a training run: evaluates its best checkpoint on `eval.final_split`, and calibrates it.

    The calibration is fitted on `eval.split`, which is evaluated, too, unless the network was
    trained on that split. A calibration that is there already is kept, for it may hold more.

    Args:
      workdir: The run's folder.
      config: The run's config.
      prepared: The run's pictures.
      checkpoint: Step of the best checkpoint.
      answer: Returns the answers of that checkpoint to a split, or to a view of its pictures.
      also: Augmentations under which `eval.final_split` is evaluated, too.
      writes: Whether this process writes the evaluations, the answers and the calibration.
      told: Is told what is being done.

    Returns:
      The evaluation on `eval.final_split`, and its answers.
    """
    settings = config.eval
    split, watched = settings.final_split, settings.split
    calibrates = watched not in ("train", split)
    names = (watched, split) if calibrates else (split,)
    told(f"final evaluation: answers to {' and '.join(names)}")
    answers = {name: answer(name, None) for name in names}
    calibration = calibrations.read(workdir, checkpoint) if calibrates else None
    if calibrates and calibration is None:
        told(f"final evaluation: calibration on {watched}")
        calibration = calibrations.fit(
            answers[watched],
            step=checkpoint,
            split=watched,
            coverage=settings.coverage,
            error_rate=settings.error_rate,
            resamples=settings.resamples,
        )
        held = EvaluatedSplit.of_run(workdir, config, prepared, watched)
        calibration = dataclasses.replace(calibration, cautions=held.cautions_of_ancestors)
        if writes:
            calibrations.write(calibration, workdir)

    def evaluated(name: str, split: str, answers: Answers, line: str = "") -> Evaluation:
        told(f"final evaluation: metrics of {name}")
        evaluation = evaluate_answers(
            answers,
            EvaluatedSplit.of_run(workdir, config, prepared, split),
            checkpoint,
            resamples=settings.resamples,
            calibration=calibration,
            extra_cautions=cautions.about_augmentation(line),
        )
        return evaluations.write(evaluation, answers, workdir, name) if writes else evaluation

    for view in also:
        name = f"{split}-{view.line}".replace(" ", "")
        evaluated(name, split, answer(split, view), view.line)
    each = {name: evaluated(name, name, answers[name]) for name in answers}
    return each[split], answers[split]
