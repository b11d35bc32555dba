"""Answers for images from anywhere, with several trained networks together."""

import dataclasses
import itertools
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import scipy

from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.disagreement import Disagreement, log_mean
from bcjax.evaluation.ensemble import difference
from bcjax.evaluation.images import Images, collect, each_image
from bcjax.evaluation.predictions import Predictions, joined
from bcjax.evaluation.predictor import Computed, Outputs, calibrated
from bcjax.evaluation.prevalence import Prevalence, Stated
from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.evaluation.trained_network import load as load_network
from bcjax.runtime import jax_settings
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TrainedEnsemble:
    """Trained networks that answer together: the mean of their probabilities.

    Examples:
      >>> several = bcjax.load(["runs/a", "runs/b"])                 # doctest: +SKIP
      >>> several.predict("cells/").mutual_information               # doctest: +SKIP

    Attributes:
      networks: The networks, each of which shows images as it was trained on them.
      calibration: The calibration of exactly these networks together; None: there is none.
    """

    networks: tuple[TrainedNetwork, ...]
    calibration: Calibration | None

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the probabilities."""
        return self.networks[0].classes

    @jax_settings.fixed()
    def predict(
        self, images: Images, batch_size: int = 64, *, prevalence: Stated | None = None
    ) -> Predictions:
        """Answers images with the mean of the networks' probabilities.

        The predictions hold how much the networks disagree, too (`entropy`, `mutual_information`).
        Their `logits` are the logarithms of the mean; `outlier`, `distance` and `energy` are None,
        for several networks have no common features to know an outlier by.

        Args:
          images: One or many, as for `TrainedNetwork.predict`.
          batch_size: Images in one call of a compiled program.
          prevalence: The share of each class among these images, as for `TrainedNetwork.predict`.

        Raises:
          UserError: As `TrainedNetwork.predict`.
        """
        found = collect(images, self.networks[0].config.data.max_pixels)
        parts = list(self.stream(found, batch_size, prevalence=prevalence))
        return joined(parts) if parts else self._nothing(prevalence)

    def stream(
        self,
        images: Images,
        batch_size: int = 64,
        *,
        prevalence: Stated | None = None,
        start: int = 0,
        threads: int | None = None,
    ) -> Generator[Predictions, None, None]:
        """Answers images batch after batch, as `TrainedNetwork.stream`.

        Each network decodes the images as it was trained on them: an image is read once by each.

        Args:
          images: As for `TrainedNetwork.stream`, as all that follows.
          batch_size: Images in one call of a compiled program, and in one of the predictions.
          prevalence: The share of each class among these images.
          start: How many images were answered before: a multiple of `batch_size`.
          threads: The threads that decode for each network; None: one for each core.

        Yields:
          The answers for `batch_size` images, as those of `predict`.

        Raises:
          UserError: As `TrainedNetwork.stream`.
        """
        at = self._at(prevalence)
        calibration = self.calibration and self.calibration.at(at)
        found = each_image(images, self.networks[0].config.data.max_pixels)
        answered = [
            network.answers(copy, batch_size, start=start, threads=threads)
            for network, copy in zip(
                self.networks, itertools.tee(found, len(self.networks)), strict=True
            )
        ]
        return (self._together(each, calibration, at) for each in zip(*answered, strict=True))

    def _at(self, prevalence: Stated | None) -> Prevalence | None:
        stated = [each for net in self.networks if (each := net.prevalence(prevalence))]
        return Prevalence.of_several(stated) if stated else None

    def _together(
        self,
        computed: Sequence[Computed[Outputs]],
        calibration: Calibration | None,
        at: Prevalence | None,
    ) -> Predictions:
        """Returns the answers to a batch, for which each network has computed its own."""
        logits = np.stack([each.outputs.logits for each in computed])
        each = scipy.special.log_softmax(logits.astype(np.float64), axis=-1)
        mean, first = log_mean(each).astype(np.float32), computed[0]
        predictions = calibrated(mean, first.names, self.classes, first.unreadable, calibration, at)
        return dataclasses.replace(predictions, **vars(Disagreement.of(each)))

    def _nothing(self, prevalence: Stated | None) -> Predictions:
        none = np.zeros((0, len(self.classes)), np.float32)
        computed = [Computed(Outputs(none, None), (), ()) for _ in self.networks]
        at = self._at(prevalence)
        return self._together(computed, self.calibration and self.calibration.at(at), at)

    def __repr__(self) -> str:
        of = ", ".join(f"{each.workdir} (step {each.step})" for each in self.networks)
        return f"TrainedEnsemble({of}: {len(self.classes)} classes)"


@jax_settings.fixed()
def load(
    workdirs: Sequence[Path], checkpoints: Sequence[str] = ("best",), max_pixels: int | None = None
) -> TrainedEnsemble:
    """Reads the named checkpoints of each run, none twice, as `evaluate` does.

    Args:
      workdirs: The runs' folders. The folder of members stands for all that have a checkpoint.
      checkpoints: "best", "latest" or a step each, of every run.
      max_pixels: The most pixels that an image may have; None: the least of the runs' settings.

    Raises:
      UserError: If a run or checkpoint is not there, classes differ, or there is one network alone.
    """
    alone = len(workdirs) == 1 and len(checkpoints) == 1
    folders = [run for path in workdirs for run in _networks_in(Path(path))]
    loaded: dict[tuple[Path, int], TrainedNetwork] = {}
    for folder, which in itertools.product(folders, checkpoints):
        network = load_network(folder, which, max_pixels=max_pixels)
        _check_classes(next(iter(loaded.values()), network), network)
        loaded.setdefault((folder.resolve(), network.step), network)
    networks = tuple(loaded.values())
    if len(networks) < 2:
        raise UserError(
            f"All that is to be averaged is {networks[0].workdir} (checkpoint {networks[0].step}): "
            "name another checkpoint, or another run."
        )
    least = min(network.config.data.max_pixels for network in networks)
    for network in networks:  # so that all of them answer the same images
        network.config.data.max_pixels = least
    home = Path(workdirs[0]) if alone else folders[0]
    steps = [(network.workdir, network.step) for network in networks]
    return TrainedEnsemble(networks, calibrations.read_ensemble(home, steps))


def _networks_in(workdir: Path) -> list[Path]:
    """Returns the folders of a run's members that have checkpoints; else the run's own."""
    members = RunDir(workdir).members()
    # One may have diverged before its first checkpoint.
    return [each for each in members if RunDir(each).checkpoints.exists()] or [workdir]


def _check_classes(one: TrainedNetwork, other: TrainedNetwork) -> None:
    if one.classes != other.classes:
        raise UserError(
            f"{other.workdir} (checkpoint {other.step}) cannot be averaged with {one.workdir} "
            f"(checkpoint {one.step}), for {difference('class', one.classes, other.classes)}."
        )
