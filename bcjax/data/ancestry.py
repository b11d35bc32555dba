"""The pictures that made a network: those of its own training, and of all it came from.

They travel with the network, in `ancestry.npz` of its run, so that they count also when the runs
are gone that it came from. A picture is known by the first 64 bits of the SHA-256 of its decoded
pixels: another name or another lossless file of it is the same picture, a near duplicate is not.
A picture that is none of a million others is taken for one of them with probability 5e-14.
"""

import dataclasses
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Bool, UInt64

from bcjax import config as configs
from bcjax.data.prepared import PreparedSet
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

Digests = UInt64[np.ndarray, "n"]
NONE: Digests = np.empty(0, np.uint64)


def are_among(digests: Digests, ascending: Digests) -> Bool[np.ndarray, "n"]:
    """Returns which digests are among others, which are in ascending order."""
    if not len(ascending):
        return np.zeros(len(digests), bool)
    places = np.searchsorted(ascending, digests)
    return ascending[np.minimum(places, len(ascending) - 1)] == digests


# How much is known of the pictures of an ancestor.
# - known: which they are.
# - lost: nothing; it is a network of bcjax whose pictures were not written down, or are gone.
# - published: nothing; weights from elsewhere, whose classifier was left out.
# - published classifier: nothing; weights from elsewhere that tell the same classes apart.
Origin = Literal["known", "lost", "published", "published classifier"]


@dataclasses.dataclass(frozen=True, eq=False)
class Ancestor:
    """One training that a network came from.

    Attributes:
      name: The folder of the run when it trained, or the file of weights.
      origin: How much is known of its pictures.
      trained: Digests of the pictures that it was trained on, in ascending order.
      chose: Digests of those by which its checkpoint was chosen, in ascending order.
    """

    name: str
    origin: Origin = "known"
    trained: Digests = dataclasses.field(default_factory=NONE.copy)
    chose: Digests = dataclasses.field(default_factory=NONE.copy)

    @classmethod
    def of_pictures(cls, prepared: PreparedSet, name: str, chosen_on: str) -> Self:
        """Returns the training of a name on the pictures of a prepared set."""
        trained, chose = (np.unique(prepared.digests(split)) for split in ("train", chosen_on))
        return cls(name, "known", trained, chose)

    def joined(self, other: Self) -> Self:
        """Returns this training, gone on with other pictures."""
        return dataclasses.replace(
            self,
            origin=other.origin if self.origin == "known" else self.origin,
            trained=np.union1d(self.trained, other.trained),
            chose=np.union1d(self.chose, other.chose),
        )

    @property
    def key(self) -> tuple[str, str, bytes, bytes]:
        """What two ancestors that are the same have in common."""
        return self.name, self.origin, self.trained.tobytes(), self.chose.tobytes()


@dataclasses.dataclass(frozen=True, eq=False)
class Ancestry:
    """All trainings behind a network.

    Attributes:
      own: The training that it was made by; None: it was not trained, but averaged or imported.
      inherited: The trainings of what its own began with, or of what was averaged.
    """

    own: Ancestor | None = None
    inherited: tuple[Ancestor, ...] = ()

    @property
    def all(self) -> tuple[Ancestor, ...]:
        """The own training, if there is one, and the inherited ones."""
        return (*([self.own] if self.own else []), *self.inherited)

    def trained_on(self, prepared: PreparedSet, name: str, chosen_on: str = "val") -> Self:
        """Returns the ancestry after a training, or after more of it with other pictures.

        Args:
          prepared: The pictures; the split "train" is trained on.
          name: The folder of the run.
          chosen_on: The split by which the checkpoint is chosen.
        """
        own = Ancestor.of_pictures(prepared, name, chosen_on)
        return dataclasses.replace(self, own=self.own.joined(own) if self.own else own)

    @classmethod
    def of_average(cls, several: Iterable["Ancestry"]) -> Self:
        """Returns the ancestry of a network that is an average of others."""
        return cls(None, _distinct(each for one in several for each in one.all))

    @classmethod
    def of_weights(cls, path: Path, *, ours: bool, classifier: bool) -> Self:
        """Returns the ancestry of weights that were read from a path.

        Args:
          path: The folder of a run, or a file. A file with bcjax's names that lies in the folder of
            a run is taken for that run's.
          ours: Whether the tensors have bcjax's names, so that a run of bcjax made them.
          classifier: Whether the classifier is kept.
        """
        run = path.parent if path.is_file() else path
        # Weights of others, too, may lie beside a config.json.
        known = RunDir(run).checkpoints.exists() or RunDir(run).ancestry.exists()
        if ours and RunDir(run).exists() and known:
            found = cls.read(run).all
        elif ours:
            found = (Ancestor(str(path), "lost"),)
        else:
            found = (Ancestor(str(path), "published classifier"),)
        return cls(None, found if classifier else tuple(map(_without_classifier, found)))

    def write(self, workdir: Path) -> None:
        """Writes `ancestry.npz`; sets of pictures that several trainings share are kept once."""
        arrays: dict[str, np.ndarray] = {}
        names: dict[bytes, str] = {}
        for digests in (digests for each in self.all for digests in (each.trained, each.chose)):
            name = names.setdefault(digests.tobytes(), f"pictures_{len(names)}")
            arrays[name] = digests
        page = [
            {
                "name": each.name,
                "own": each is self.own,
                "origin": each.origin,
                "trained": names[each.trained.tobytes()],
                "chose": names[each.chose.tobytes()],
            }
            for each in self.all
        ]
        about = np.frombuffer(json.dumps(page).encode(), np.uint8)
        with files.atomic(RunDir(workdir).ancestry) as partial, partial.open("wb") as file:
            np.savez(file, ancestors=about, **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, workdir: Path, prepared: PreparedSet | None = None) -> Self:
        """Reads the ancestry of a run.

        A run that was written before there was `ancestry.npz` gets it from the pictures and the
        weights that it names, if they are still there; else its pictures are lost.

        Args:
          workdir: The folder of the run, or of several members.
          prepared: Pictures at hand, which may be those of the run.

        Raises:
          UserError: If the file is damaged.
        """
        path = RunDir(workdir).ancestry
        if not path.exists():
            return cls._of_older_run(workdir, prepared)
        try:
            with np.load(path) as arrays:
                page = json.loads(arrays["ancestors"].tobytes())
                ancestors = [
                    (
                        each["own"],
                        Ancestor(
                            each["name"],
                            each["origin"],
                            arrays[each["trained"]],
                            arrays[each["chose"]],
                        ),
                    )
                    for each in page
                ]
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path} is damaged ({error}): delete it, and what is not found out anew is said "
                "to be unknown."
            ) from error
        own = next((each for is_own, each in ancestors if is_own), None)
        return cls(own, tuple(each for is_own, each in ancestors if not is_own))

    @classmethod
    def _of_older_run(cls, workdir: Path, prepared: PreparedSet | None) -> Self:
        run = RunDir(workdir)
        if members := run.members():
            return cls.of_average(cls.read(member, prepared) for member in members)
        if not run.exists():
            return cls(Ancestor(str(workdir), "lost"))
        config = configs.load(workdir)
        if run.soup.exists():
            return cls.of_average(map(cls._of_ingredient, files.read_json(run.soup)["ingredients"]))
        name, kept = config.workdir or str(workdir), config.model.weights_head == "keep"
        inherited: tuple[Ancestor, ...] = ()
        if run.weights.exists():
            origin = files.read_json(run.weights)
            file = Path(origin.get("file") or config.model.weights or run.weights)
            ours = origin.get("names") == "bcjax"
            inherited = cls.of_weights(file, ours=ours, classifier=kept).all
        elif config.model.weights:
            inherited = (Ancestor(config.model.weights, "lost"),)
        trained_on = run.trained_on()
        if trained_on is None:
            return cls(None, inherited) if inherited else cls(Ancestor(name, "lost"))
        folder = Path(trained_on.path)
        there = PreparedSet(folder) if PreparedSet.is_at(folder) else None
        for pictures in filter(None, (prepared, there)):
            if trained_on.same_pictures(pictures.as_trained_on()):
                own = Ancestor.of_pictures(pictures, name, config.eval.split)
                return cls(own, inherited)
        return cls(Ancestor(name, "lost"), inherited)

    @classmethod
    def _of_ingredient(cls, ingredient: dict[str, Any]) -> Self:
        """Returns the ancestry of a part of an older soup, if its checkpoint is still there."""
        workdir = Path(ingredient["workdir"])
        if (RunDir(workdir).checkpoints / str(ingredient["checkpoint"])).exists():
            return cls.read(workdir)
        return cls(Ancestor(str(workdir), "lost"))


def _without_classifier(ancestor: Ancestor) -> Ancestor:
    if ancestor.origin == "published classifier":
        return dataclasses.replace(ancestor, origin="published")
    return ancestor


def _distinct(ancestors: Iterable[Ancestor]) -> tuple[Ancestor, ...]:
    return tuple({each.key: each for each in ancestors}.values())
