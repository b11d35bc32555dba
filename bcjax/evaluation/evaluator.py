"""The evaluation loop: each example exactly once, and the same numbers wherever it is called."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bcjax import config as configs
from bcjax import metrics
from bcjax.data import prepare
from bcjax.data.entry import entry_of
from bcjax.data.prepared import Prepared
from bcjax.data.store import choose, open_store
from bcjax.engine import dispatch, network
from bcjax.engine.loader import Loader, View, predict_split
from bcjax.engine.network import RestoredNetwork
from bcjax.engine.step import features_step, predict_step
from bcjax.evaluation import answers as written
from bcjax.evaluation import cautions
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import fitted
from bcjax.evaluation.calibration import measure as calibrations
from bcjax.evaluation.calibration.fitted import Calibration
from bcjax.evaluation.matching import Matching, match
from bcjax.runtime import files
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

Result = dict[str, Any]


def answer(
    prepared: Prepared, split: str, logits: Float[np.ndarray, "N C"], labels: Int[np.ndarray, "N"]
) -> Answers:
    """Names what was predicted for a split.

    Raises:
      UserError: If an answer is not finite.
    """
    if not np.isfinite(logits).all():
        raise UserError(
            "The network's answers are not finite, for its training diverged: lower "
            "config.optim.lr or set config.optim.clip_norm=1.0; earlier checkpoints are kept."
        )
    ids, groups = prepared.ids(split), prepared.groups(split)
    return Answers(prepared.classes, tuple(ids), tuple(groups), labels, logits)


def measure(answers: Answers, *, resamples: int) -> Result:
    """Returns what `metrics.measure` says of answers."""
    return metrics.measure(
        answers.probabilities(),
        answers.labels,
        answers.classes,
        groups=answers.groups,
        resamples=resamples,
    ).to_dict()


def headline(result: Result) -> dict[str, float]:
    """Returns {"accuracy": 0.97, ...}: the values alone, those that are defined."""
    figures = result["metrics"].items()
    return {name: figure["value"] for name, figure in figures if figure["value"] is not None}


class Evaluator:
    """Evaluates checkpoints of a run, rebuilt from its workdir, on one split.

    Attributes:
      workdir: The run's folder.
      split: What is evaluated: "train", "val", "test", or "all" pictures of other data.
      config: The run's, with the other data's source.
      prepared: The pictures.
      matching: Of other data's classes with the run's; None: the data is its own.
      feed: The split, as batches on the devices.
      mesh: The devices.
      about: What every result about these pictures carries: "cautions", and "leaks" if there are.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        split: str,
        source: str = "",
        batch_size: int = 0,
        map_classes: Mapping[str, str] | None = None,
        entry: Mapping[str, Any] | None = None,
    ):
        """Reads the run's config and opens the pictures.

        Args:
          workdir: The run's folder.
          split: Of the pictures.
          source: Other pictures than the run's own. Where they have no splits, all are evaluated.
          batch_size: Pictures at a time; 0: as the run did.
          map_classes: Which class of the other pictures is which of the run's; see `matching`.
          entry: How the other pictures enter, by keys of the config's `data` branch; else as ours.

        Raises:
          UserError: If there is no run, no such split, or classes that belong nowhere.
        """
        self.workdir = workdir
        self.config = config = configs.load(workdir)
        known, dropped = config.data.classes or (), config.data.drop_classes
        if source:  # nothing is held back, nothing dropped unless it is of a class without a home
            whole = {"val_fraction": 0.0, "test_fraction": 0.0, "drop_classes": ()}
            config.data.update({"source": source, **whole, **(entry or {})})
        self._batch_size = batch_size or config.eval.batch_size or config.train.batch_size
        self.mesh = meshes.create()
        self.prepared = prepare.ensure(config.data, complete=not source, own_names=bool(source))
        self._examples = split
        if source and list(self.prepared.counts) == ["train"]:
            self._examples, split = "train", "all"
        elif not self.prepared.size(split):
            raise UserError(
                f"{self.prepared.path} has no {split} split: it has {self.prepared.named()}."
            )
        self.split = split
        self.matching: Matching | None = None
        if source:
            home = [name for name in known if name not in dropped]
            counts = self.prepared.counts[self._examples]
            theirs = dict(zip(self.prepared.classes, counts, strict=True))
            self.matching = match(source, theirs, home, map_classes, dropped)
        needed = self.prepared.size(self._examples) * config.data.image_size**2 * 3
        data = config.data
        kind, _ = choose(data.store, needed, meshes.device_memory())
        store = open_store(self.prepared, self._examples, kind, entry_of(data), data.threads)
        self.feed = Loader(store, data, self.mesh)
        # Of other data the splits were not trained on.
        self.about = {} if source else warned(self.prepared)
        self.about["cautions"] = (
            cautions.of_other(workdir, self.prepared, self._examples)
            if source
            else cautions.of_split(workdir, config, self.prepared, split)
        )
        self._predict: Callable | None = None

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
          UserError: If an answer is not finite.
        """
        if self._predict is None:  # compiled once, whatever number of checkpoints follows
            model = self.config.model
            step = predict_step(trained.model, model.mean, model.std)
            self._predict = dispatch.compile_predict(step, self.mesh)
        predicted = predict_split(
            self._predict, trained.variables, self.feed, self.mesh, self._batch_size, view
        )
        answers = answer(self.prepared, self._examples, *predicted)
        return self.matching(answers) if self.matching else answers

    def features(
        self, trained: RestoredNetwork
    ) -> tuple[Float[np.ndarray, "N F"], Int[np.ndarray, "N"]]:
        """Returns what the classifier reads of the split's pictures, float32, and labels."""
        model = self.config.model
        step = features_step(trained.model, model.mean, model.std)
        look = dispatch.compile_predict(step, self.mesh)
        return predict_split(look, trained.variables, self.feed, self.mesh, self._batch_size)

    def measured(self, answers: Answers, checkpoint: int, **about: Any) -> Result:
        """Measures answers to this split, of whatever answered.

        Args:
          answers: To its pictures.
          checkpoint: Of this run, that had a part in them.
          **about: What else the result is to carry.
        """
        where = {"split": self.split, "checkpoint": checkpoint, "source": self.config.data.source}
        measured = measure(answers, resamples=self.config.eval.resamples)
        return where | self.about | about | measured

    def result(self, answers: Answers, checkpoint: int, **about: Any) -> Result:
        """Measures a checkpoint's own answers to this split, as `measured`, and its calibration."""
        found = self.measured(answers, checkpoint, **about)
        own, calibration = self.matching is None, fitted.read(self.workdir, checkpoint)
        return calibrated(found, answers, calibration, own=own)

    def __call__(self, which: str) -> tuple[Result, Answers]:
        """Evaluates "best", "latest" or a step.

        Raises:
          UserError: If there is no such checkpoint.
        """
        trained = self.load(which)
        answers = self.answers(trained)
        return self.result(answers, trained.step), answers


def calibrated(
    result: Result, answers: Answers, calibration: Calibration | None, *, own: bool
) -> Result:
    """Returns a result with what a calibration of the checkpoint, if there is one, does to it.

    Args:
      result: To be added to.
      answers: That it is of; where they are of other classes, nothing is added.
      calibration: Of the checkpoint.
      own: Whether the pictures are the run's own, and so perhaps those it was fitted on.
    """
    if calibration is None or calibration.classes != answers.classes:
        return result
    told = list(result["cautions"])
    if own and result["split"] == calibration.split:
        told.append("The calibration was fitted on these pictures: it will fit others less well.")
    return result | {"cautions": told, "calibration": calibrations.measure(calibration, answers)}


def warned(prepared: Prepared) -> Result:
    """Returns {"leaks": what the splits leak}, for every result of theirs to carry; or {}."""
    return {"leaks": prepared.leaks} if prepared.leaks else {}


def write(result: Result, answers: Answers, workdir: Path, name: str) -> Path:
    """Writes `eval/<name>.json` and the answers beside it, and returns the path of the former."""
    run_dir = RunDir(workdir)
    written.write(answers, run_dir.answers(name))
    files.write_json(run_dir.evaluation(name), result)
    return run_dir.evaluation(name)
