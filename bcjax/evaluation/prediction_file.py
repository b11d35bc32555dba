"""The predictions for any number of pictures in a file, begun once and ended in spite of kills.

Beside FILE lies the folder FILE.part until all is done:

| Name                         | Holds                                                           |
| ---------------------------- | --------------------------------------------------------------- |
| `job.json`                   | what the predictions depend on; without it, nothing was begun   |
| `pictures.jsonl`             | each picture's place and name, in order, as found at the start  |
| `<start>-<stop>.<format>`    | the predictions for the pictures in [start, stop)               |
| `<start>-<stop>.unreadable`  | those of them that cannot be read; written before the former    |
| `joined`                     | nothing: all parts are being joined to FILE, or are joined      |
| `.lock`                      | nothing: the process that writes holds it                       |

Each file is written whole or not at all. A part ends where a batch ends, so the batches after a
kill are those that would have been without it, and so is each bit of the predictions.
"""

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from bcjax.evaluation import prediction_formats as formats
from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.picture_stream import Found, NamedImage, Pictures
from bcjax.evaluation.predictions import Predictions, joined
from bcjax.evaluation.predictor import Predictor
from bcjax.evaluation.prevalence import Stated
from bcjax.evaluation.trained_ensemble import TrainedEnsemble
from bcjax.runtime import digests, files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

_PART = 2048  # pictures of a part, or a batch if that holds more
_SECONDS = 30.0  # after which a part is written although it holds fewer
_DIGITS = 12

Progress = Callable[[int, int], None]  # (pictures done, pictures in all)


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
      path: The file.
      pictures: How many pictures it is about.
      unreadable: How many of them cannot be read; see `unreadable_path`.
      resumed: How many pictures were done when the process began.
    """

    path: Path
    pictures: int
    unreadable: int
    resumed: int


def unreadable_path(out: Path) -> Path:
    """Returns the CSV file of the pictures that cannot be read; missing if there are none."""
    return _beside(out, ".unreadable.csv")


def write(
    network: Predictor | TrainedEnsemble,
    pictures: Pictures,
    out: Path,
    batch_size: int = 64,
    *,
    prevalence: Stated | None = None,
    progress: Progress = lambda done, total: None,
) -> Written:
    """Writes the predictions for pictures to a file, or goes on where a process was killed.

    Memory does not grow with the number of pictures. The pictures are those that are found at the
    start; one that is gone when its turn comes is listed as unreadable. A file whose writing was
    interrupted and went on is the same, byte for byte (of Parquet: value for value), as one that
    was written in one go on the same kind of device.

    Args:
      network: What answers.
      pictures: The pictures.
      out: The file, whose ending says its format: .parquet, .csv or .jsonl.
      batch_size: Pictures at a time.
      prevalence: As for `predict`.
      progress: Called with the number of pictures that are done, and of all, after each batch.

    Raises:
      UserError: If the file exists, another process writes it, what was begun is another list of
        pictures or by another network, or the ending is no format's.
    """
    check(out)
    folder = _folder(out)
    with _locked(folder, out):
        parts = _Parts(folder, formats.of(out))
        if out.exists() and parts.joined.exists():  # a kill came between the last two files
            _empty(folder, but=(parts.joined.name,))
            raise _finished(out)
        if out.exists():
            raise UserError(
                f"{out} is there already, and what {folder} holds was to become it: move the one "
                "you need away, and delete the other."
            )
        total = parts.begin(pictures, _about(network, batch_size, prevalence))
        done = parts.done()
        progress(done, total)
        if done < total:
            named = parts.pictures(pictures)
            stream = network.stream(named, batch_size, prevalence=prevalence, start=done)
            parts.fill(stream, lambda reached: progress(reached, total))
        unreadable = parts.join(out)
    return Written(out, total, unreadable, done)


def check(out: Path) -> None:
    """Checks that a file can be begun or gone on with, before anything slow is done.

    Raises:
      UserError: If it is finished, or its ending is no format's.
    """
    formats.of(out)
    if out.exists() and not _folder(out).exists():
        raise _finished(out)


def _folder(out: Path) -> Path:
    return _beside(out, ".part")


def _finished(out: Path) -> UserError:
    return UserError(
        f"{out} is there already, and finished: nothing was changed; delete it to label the "
        "pictures anew, or give another --out."
    )


class _Parts:
    """The folder of a file that is not finished.

    Attributes:
      joined: The file that says that all parts are there.
      reached: How many pictures are done, those included that are in no part yet.
    """

    def __init__(self, folder: Path, kind: formats.Format):
        self._folder = folder
        self._kind = kind
        self._job = folder / "job.json"
        self._list = folder / "pictures.jsonl"
        self.joined = folder / "joined"
        self.reached = self._written = 0
        self._held: list[Predictions] = []
        self._since = time.monotonic()

    def begin(self, pictures: Pictures, about: dict[str, Any]) -> int:
        """Begins, or checks that what was begun is the same; returns the number of pictures.

        Raises:
          UserError: If it is not.
        """
        if not self._job.exists():
            _empty(self._folder)
            with files.atomic(self._list) as partial, partial.open("wb") as file:
                about |= _digest(pictures, file.write)
            files.write_json(self._job, about)
            return about["pictures"]
        about |= _digest(pictures)
        before = files.read_json(self._job, f"delete {self._folder} to begin anew")
        for key in before | about:
            if before.get(key) != about.get(key):
                self._refuse(key, before.get(key), about.get(key))
        return about["pictures"]

    def _refuse(self, key: str, before: Any, now: Any) -> None:
        change = f"with {key} {before}, and now it is {now}"
        if key in _HASHED:
            change = f"with {_HASHED[key]}"
        raise UserError(
            f"What lies in {self._folder} was begun {change}: give the same as then, or delete "
            "that folder to begin anew."
        )

    def pictures(self, pictures: Pictures) -> Iterator[NamedImage]:
        """Yields the pictures that were found at the start."""
        with self._list.open("rb") as file:
            for line in file:
                number, name, key = json.loads(line)
                yield pictures.named(number, Found(name, key))

    def done(self) -> int:
        """Returns how many pictures the parts cover, from the first one without a gap."""
        self.reached = self._written = max((stop for _, stop, _ in self._parts()), default=0)
        return self._written

    def fill(
        self, stream: Generator[Predictions, None, None], progress: Callable[[int], None]
    ) -> None:
        """Writes the predictions for all pictures that are left, part by part.

        What was there when something ended it, such as Ctrl-C, is written as well.
        """
        try:
            with contextlib.closing(stream):
                for predictions in stream:
                    self._held.append(predictions)
                    self.reached += len(predictions) + len(predictions.unreadable)
                    waited = time.monotonic() - self._since
                    if self.reached - self._written >= _PART or waited >= _SECONDS:
                        self._flush()
                    progress(self.reached)
        finally:
            self._flush()

    def _flush(self) -> None:
        """Writes a part with what was taken since the last one."""
        if not self._held:
            return
        part, first = joined(self._held), not self._written
        path = self._folder / f"{self._written:0{_DIGITS}}-{self.reached:0{_DIGITS}}"
        if part.unreadable:  # first: the part that says how far it goes is there last
            with files.atomic(path.with_suffix(".unreadable")) as partial:
                formats.write_unreadable(part.unreadable, partial)
        with files.atomic(path.with_suffix(self._kind.suffix)) as partial:
            self._kind.write(part, partial, first=first)
        self._written, self._held, self._since = self.reached, [], time.monotonic()

    def join(self, out: Path) -> int:
        """Joins the parts to the file, and removes them; returns the number of unreadable ones."""
        parts = [path for _, _, path in self._parts()]
        bad = [each for path in parts if (each := path.with_suffix(".unreadable")).exists()]
        self.joined.touch()
        unreadable, count = unreadable_path(out), 0
        if bad:
            with files.atomic(unreadable) as partial:
                count = formats.join_unreadable(bad, partial)
        else:
            unreadable.unlink(missing_ok=True)  # of a file that was deleted
        with files.atomic(out) as partial:
            self._kind.join(parts, partial)
        _empty(self._folder, but=(self.joined.name,))
        return count

    def _parts(self) -> list[tuple[int, int, Path]]:
        """Returns where each part starts and stops, and its file: those without a gap before."""
        found: list[tuple[int, int, Path]] = []
        for path in sorted(self._folder.glob(f"[0-9]*{self._kind.suffix}")):
            start, stop = map(int, path.stem.split("-"))
            if start == (found[-1][1] if found else 0):
                found.append((start, stop, path))
        return found


# The keys of job.json whose values say nothing to a person, and what it means if they differ.
_HASHED = {
    "list": "other pictures, or the same in another order",
    "weights": "other weights: the run was trained anew since",
    "calibration": "another calibration",
}


def _digest(pictures: Pictures, write: Callable[[bytes], Any] = len) -> dict[str, Any]:
    """Returns how many pictures there are and a digest of their list, and writes the list."""
    total, digest = 0, hashlib.sha256()
    for number, found in pictures.found():
        line = json.dumps([number, found.name, found.key]).encode() + b"\n"
        digest.update(line)
        write(line)
        total += 1
    return {"pictures": total, "list": digest.hexdigest()}


def _about(
    network: Predictor | TrainedEnsemble, batch_size: int, prevalence: Stated | None
) -> dict[str, Any]:
    """Returns what predictions depend on, beside the pictures."""
    networks = network.networks if isinstance(network, TrainedEnsemble) else (network,)
    stated = networks[0].prevalence(prevalence)
    return {
        "run": ", ".join(str(each.workdir.resolve()) for each in networks),
        "checkpoint": ", ".join(str(each.step) for each in networks),
        "weights": ", ".join(map(_weights, networks)),
        "answered by": ", ".join(type(each).__name__ for each in networks),
        "calibration": _calibrated(network.calibration),
        "prevalence": dict(stated.stated) if stated else "that of the training",
        "max_pixels": networks[0].config.data.max_pixels,
        "batch_size": batch_size,
    }


def _weights(network: Predictor) -> str:
    """Returns a digest of the files of a checkpoint; "" where it has none, as in version 0.1."""
    path = RunDir(network.workdir).checkpoints / str(network.step) / digests.NAME
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _calibrated(calibration: Calibration | None) -> str:
    if calibration is None:
        return "none"
    if calibration.path:
        return hashlib.sha256(calibration.path.read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(calibration.to_dict(), default=str).encode()).hexdigest()


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(out.name + ending)


def _empty(folder: Path, but: tuple[str, ...] = ()) -> None:
    """Removes the files in a folder, apart from its lock and those that are named."""
    for path in folder.iterdir():
        if path.name not in (".lock", *but):
            path.unlink()


@contextlib.contextmanager
def _locked(folder: Path, out: Path) -> Iterator[None]:
    """Makes a folder and keeps a second process out; a folder that holds nothing more is removed.

    Raises:
      UserError: If another process is in it.
    """
    from filelock import FileLock, Timeout  # not above: it imports asyncio

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"Another process is writing {out}: wait for it, or give another --out."
        ) from error
    try:
        yield
    finally:
        if all(path.name in (".lock", "joined") for path in folder.iterdir()):
            for path in (folder / "joined", folder / ".lock"):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # another process has come meanwhile
                folder.rmdir()
        lock.release()
