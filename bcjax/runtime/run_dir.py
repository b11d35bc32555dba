"""The folder of a run: the names of its files, and the lock that keeps a second process out."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bcjax.runtime import files
from bcjax.runtime.errors import UserError

_MEMBER = "member-"
_CORRUPTIONS = "-corruptions"
_LOCK = ".lock"
_NOT_IN_PATH = ("[", "]", "\\")  # orbax takes [x] for a pattern, and \ for /


@dataclasses.dataclass(frozen=True)
class TrainedOn:
    """What `pictures.json` says: the prepared set that a run was trained on.

    Attributes:
      path: Its folder, when the run began.
      digest: Of its pictures' names, labels and splits.
      counts: Pictures of each class, by split.
      pixels: Digest of the pictures themselves; "" where unknown, as in runs of version 0.1.
    """

    path: str
    digest: str
    counts: dict[str, Any]
    pixels: str = ""

    def same_pictures(self, other: "TrainedOn") -> bool:
        """Whether two sets hold the same pictures with the same names, labels and splits."""
        known = bool(self.pixels and other.pixels)
        return self.digest == other.digest and (not known or self.pixels == other.pixels)


class _Inside:
    """The path of a file or folder that has the same name in each run's folder."""

    def __init__(self, name: str):
        self._name = name

    def __get__(self, run: "RunDir", owner: type) -> Path:
        return run.path / self._name


@dataclasses.dataclass(frozen=True, init=False)
class RunDir(os.PathLike[str]):
    """The folder of a run, and the name of every file in it.

    | Name                       | Holds                                   | Written by            |
    | -------------------------- | --------------------------------------- | --------------------- |
    | `config.json`              | the resolved config; without it, no run | train                 |
    | `pictures.json`            | the prepared set: path, digest, counts  | train                 |
    | `weights.json`             | where imported weights are from         | import-weights, train |
    | `ancestry.npz`             | which pictures made the network         | train, import-weights |
    | `soup.json`                | which networks a soup is the mean of    | evaluate --soup --out |
    | `metrics.jsonl`            | figures by step                         | train                 |
    | `sessions.jsonl`           | time and cost of each process           | train                 |
    | `log.txt`                  | what training printed                   | sweep, ablate         |
    | `tensorboard/`             | TensorBoard's event files               | train                 |
    | `trackers.json`            | its ids at MLflow, Weights & Biases     | train                 |
    | `wandb/`                   | Weights & Biases' own files             | train                 |
    | `checkpoints/<step>/`      | the state, a page about it, digests     | train                 |
    | `damaged/<step>/`          | checkpoints whose files were changed    | train                 |
    | `eval/<name>.json`         | the figures of an evaluation            | train, evaluate       |
    | `eval/<name>.parquet`      | each picture's logits and label         | train, evaluate       |
    | `calibration/<step>.json`  | what was fitted for a checkpoint        | calibrate, train      |
    | `calibration/ensemble.json`| the same for several networks together  | calibrate             |
    | `calibration/<step>.npz`   | the arrays that tell outliers           | calibrate             |
    | `calibration/<step>.parquet` | the answers that it was fitted to     | calibrate, train      |
    | `inference_cost.json`      | how long answers take, on what machine  | report                |
    | `explain/explain.json`     | figures about the explanations          | explain               |
    | `explain/*.png`            | the explanations, drawn                 | explain               |
    | `report.html`, `report.md` | the report                              | report                |
    | `figures/<name>.png`       | its figures, for a paper                | report                |
    | `latex/`                   | its tables and figures for LaTeX        | report --latex        |
    | `export/`                  | files for other runtimes, certificates  | export, app           |
    | `README.md`                | the model card                          | report                |
    | `member-<i>/`              | the folder of each of several members   | train                 |
    | `.lock`                    | held by the process that trains         | train                 |

    Attributes:
      path: The folder.
    """

    path: Path

    config = _Inside("config.json")
    pictures = _Inside("pictures.json")
    weights = _Inside("weights.json")
    ancestry = _Inside("ancestry.npz")
    soup = _Inside("soup.json")
    metrics = _Inside("metrics.jsonl")
    sessions = _Inside("sessions.jsonl")
    log = _Inside("log.txt")
    tensorboard = _Inside("tensorboard")
    trackers = _Inside("trackers.json")
    checkpoints = _Inside("checkpoints")
    damaged = _Inside("damaged")
    explanations = _Inside("explain")
    explained = _Inside("explain/explain.json")
    inference_cost = _Inside("inference_cost.json")
    exported = _Inside("export")
    report = _Inside("report.html")
    report_markdown = _Inside("report.md")
    figures = _Inside("figures")
    latex = _Inside("latex")
    card = _Inside("README.md")  # where model hubs look for the model card

    def __init__(self, path: str | os.PathLike[str]):
        object.__setattr__(self, "path", Path(path))

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def evaluation(self, name: str) -> Path:
        """The figures of an evaluation: of a split, or of another name that `evaluate` gave."""
        return self.path / "eval" / f"{name}.json"

    def corruptions(self, name: str) -> Path:
        """The figures of an evaluation on corrupted pictures."""
        return self.evaluation(f"{name}{_CORRUPTIONS}")

    def answers(self, name: str) -> Path:
        """The answers that the figures of an evaluation are made of."""
        return self.evaluation(name).with_suffix(".parquet")

    def calibration(self, step: int | str) -> Path:
        """What was fitted for a checkpoint; "ensemble": for several networks together."""
        return self.path / "calibration" / f"{step}.json"

    def calibration_answers(self, step: int | str) -> Path:
        """The answers that a calibration was fitted to."""
        return self.calibration(step).with_suffix(".parquet")

    def outliers(self, step: int) -> Path:
        return self.calibration(step).with_suffix(".npz")

    def member(self, position: int) -> Path:
        return self.path / f"{_MEMBER}{position}"

    def members(self) -> list[Path]:
        """Returns the folders of the members that were begun here, in order."""
        begun = [path for path in self.path.glob(f"{_MEMBER}*") if RunDir(path).exists()]
        return sorted(begun, key=lambda path: int(path.name.removeprefix(_MEMBER)))

    @property
    def is_one_of_several(self) -> bool:
        """Whether the run is a member, or has members."""
        return self.path.resolve().name.startswith(_MEMBER) or any(self.path.glob(f"{_MEMBER}*"))

    def evaluations(self, *, corruptions: bool = True) -> list[Path]:
        """Returns the figures of all evaluations that are here, by name.

        Args:
          corruptions: Whether those on corrupted pictures are among them.
        """
        found = sorted((self.path / "eval").glob("*.json"))
        return [path for path in found if corruptions or not path.stem.endswith(_CORRUPTIONS)]

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.config.exists()

    def check_exists(self) -> None:
        """Checks that a run was begun here.

        Raises:
          UserError: If there is no such folder, or it holds no run.
        """
        if self.exists():
            return
        missing = (
            f"{self.config.name} is missing" if self.path.exists() else "there is no such folder"
        )
        raise UserError(f"{self} holds no run: {missing}; give a trained workdir.")

    def trained_on(self) -> TrainedOn | None:
        """Reads `pictures.json`; None if the network was not trained here.

        Raises:
          UserError: If the file is damaged.
        """
        if not self.pictures.exists():
            return None
        page = files.read_json(self.pictures)
        return TrainedOn(
            page.get("path", ""), page["digest"], page.get("counts", {}), page.get("pixels", "")
        )

    def check_name(self) -> None:
        """Checks that checkpoints can be kept here.

        Raises:
          UserError: If the path has a character that orbax takes for another thing.
        """
        path = str(self.path.absolute())
        if wrong := next((each for each in _NOT_IN_PATH if each in path), None):
            raise UserError(
                f"Checkpoints cannot be kept in {path}, for its name holds {wrong}: give the "
                "folder another name, or give a link to it that is named otherwise."
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps a second process out; the lock goes with the process, however that ends.

        Raises:
          UserError: If another process holds it, or `check_name` refuses the folder.
        """
        from filelock import FileLock, Timeout  # not above: it imports asyncio

        self.check_name()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / _LOCK, timeout=0):
                yield
        except Timeout as error:
            raise UserError(
                f"Another process is training in {self}: wait for it, or give another --workdir."
            ) from error

    def is_locked(self) -> bool:
        """Whether a process is training here now."""
        try:
            with self.lock():
                return False
        except UserError:
            return True
