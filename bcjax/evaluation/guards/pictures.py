"""Cautions about tested pictures: whether they had a part in making the network.

The tested pictures are compared with those of the whole ancestry of the network, by the pixels that
their files decode to. Near duplicates are not looked for here.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
from jaxtyping import Bool
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.data.ancestry import NONE, Ancestor, Ancestry, Digests, are_among
from bcjax.data.prepared import PreparedSet
from bcjax.runtime.run_dir import RunDir

_TRAINED = "others will be answered less well."
_CHOSE = "others may be answered less well."
_NAMED = 3  # ancestors that a sentence names

Mask = Bool[np.ndarray, "N"]


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluatedSplit:
    """The pictures of an evaluation, and those that made the network.

    Attributes:
      split: The split's name; "all" for all pictures of other data.
      source: Where the pictures are from, as in `config.data.source`.
      own: Whether they are of the run's own data, not of other data.
      known: Cautions that do not follow from the ancestry.
      leaks: A sentence on pictures that the splits share; "" if there are none.
      digests: One for each picture; see `PreparedSet.digests`.
      ancestry: The pictures that made the network.
    """

    split: str
    source: str
    own: bool
    known: tuple[str, ...] = ()
    leaks: str = ""
    digests: Digests = dataclasses.field(default_factory=NONE.copy)
    ancestry: Ancestry = dataclasses.field(default_factory=Ancestry)

    @classmethod
    def of_run(cls, workdir: Path, config: ConfigDict, prepared: PreparedSet, split: str) -> Self:
        """Describes a split of the run's own data.

        Args:
          workdir: The run's folder.
          config: The run's config.
          prepared: The run's pictures as they are now.
          split: One of their splits.
        """
        known: tuple[str, ...] = ()
        trained_on = RunDir(workdir).trained_on()
        if trained_on and not trained_on.same_pictures(prepared.as_trained_on()):
            known = ("The pictures or their splits have changed: some may have been trained on.",)
        leaks = prepared.leaks.sentence if prepared.leaks else ""
        ancestry = Ancestry.read(workdir, prepared)
        return cls(split, config.data.source, True, known, leaks, prepared.digests(split), ancestry)

    @classmethod
    def of_other_data(
        cls,
        workdir: Path,
        source: str,
        prepared: PreparedSet,
        held_as: str,
        split: str,
        labels: Collection[int],
    ) -> Self:
        """Describes other data than the run's own.

        Args:
          workdir: The run's folder.
          source: Where the other data is from.
          prepared: The other data.
          held_as: The split of `prepared` that holds the pictures.
          split: The name under which they are evaluated.
          labels: The labels of `prepared` that are evaluated.
        """
        evaluated = np.isin(prepared.labels(held_as), list(labels))
        digests = prepared.digests(held_as)[evaluated]
        ancestry = Ancestry.read(workdir, prepared)
        return cls(split, source, False, digests=digests, ancestry=ancestry)

    def answered_by(self, ancestry: Ancestry) -> Self:
        """Describes the same pictures, answered by another network."""
        return dataclasses.replace(self, ancestry=ancestry)

    @property
    def cautions(self) -> tuple[str, ...]:
        """Sentences about the part that the pictures had in making the network."""
        return (*_about_ancestry(self, self.ancestry, "weights"), *self.known)

    @property
    def cautions_of_ancestors(self) -> tuple[str, ...]:
        """Those of the sentences that are about what the network's own training began with."""
        return self.answered_by(Ancestry(None, self.ancestry.inherited)).cautions


def about_start(workdir: Path, config: ConfigDict, prepared: PreparedSet) -> tuple[str, ...]:
    """Returns what will have to be said of a run's figures, because of what it begins with.

    Args:
      workdir: The run's folder.
      config: The run's config.
      prepared: The run's pictures.
    """
    sentences: list[str] = []
    for split in (config.eval.split, config.eval.final_split):
        pictures = EvaluatedSplit.of_run(workdir, config, prepared, split)
        sentences += pictures.cautions_of_ancestors
    return tuple(dict.fromkeys(sentences))


def about_watched(workdirs: Iterable[Path]) -> tuple[str, ...]:
    """Returns what must be said of the watched figures of runs, because of what they began with.

    Args:
      workdirs: Their folders. Of one that is not here, or whose pictures are gone, nothing is said.
    """
    sentences: list[str] = []
    for workdir in workdirs:
        trained_on = RunDir(workdir).trained_on()
        if not (trained_on and RunDir(workdir).exists() and Ancestry.read(workdir).inherited):
            continue
        if PreparedSet.is_at(Path(trained_on.path)):
            config, prepared = configs.load(workdir), PreparedSet(Path(trained_on.path))
            pictures = EvaluatedSplit.of_run(workdir, config, prepared, config.eval.split)
            sentences += pictures.cautions_of_ancestors
    return tuple(dict.fromkeys(sentences))


def about_published(ancestry: Ancestry) -> tuple[str, ...]:
    """Returns the sentence on weights from elsewhere that a network began with, if it did.

    It is no caution: of such weights, which told other classes apart, the pictures are never known.
    """
    names = [each.name for each in ancestry.inherited if each.origin == "published"]
    if not names:
        return ()
    return (f"Its training began with {_names(names)}: which pictures made that is not known.",)


def of_average(
    several: Sequence[EvaluatedSplit], what: Literal["weights", "answers"]
) -> EvaluatedSplit:
    """Describes the pictures that an average of networks answered.

    Args:
      several: The pictures of each network. Those of the first are what the average answered.
      what: What was averaged.
    """
    first, known = several[0], dict.fromkeys(each for one in several for each in one.known)
    alone = {first.answered_by(each.ancestry).cautions for each in several}
    if len(alone) == 1:
        cautions = alone.pop()
    else:
        ancestry = Ancestry.of_average(each.ancestry for each in several)
        cautions = tuple(_about_ancestry(first, ancestry, what))
    said = tuple(dict.fromkeys((*cautions, *known)))
    return EvaluatedSplit(first.split, first.source, first.own, said, first.leaks)


def _about_ancestry(pictures: EvaluatedSplit, ancestry: Ancestry, what: str) -> list[str]:
    """Returns the sentences about pictures that trained a network, chose it, or may have."""

    def seen(ascending: Digests) -> Mask:
        return are_among(pictures.digests, ascending)

    own, come = ancestry.own or Ancestor(""), f"from which these {what} come"
    trained, chose = seen(own.trained), seen(own.chose)
    sentences = []
    if trained.any():
        sentences.append(f"The network was trained on {_count(pictures, trained)}: {_TRAINED}")
    if pictures.own and trained.any() and trained.all():
        return sentences  # what else could be said says less
    inherited = {each: seen(each.trained) for each in ancestry.inherited}
    if (new := _any(inherited, trained) & ~trained).any():
        sentences.append(f"{_by(pictures, inherited, 'trained')}, {come}: {_TRAINED}")
        trained = trained | new
    if (chose & ~trained).any():
        sentences.append(f"The checkpoint was chosen by {_count(pictures, chose)}: {_CHOSE}")
    inherited = {each: seen(each.chose) for each in ancestry.inherited}
    if (_any(inherited, chose) & ~trained & ~chose).any():
        did = "chose the checkpoint of"
        sentences.append(f"{_by(pictures, inherited, did)}, {come}: {_CHOSE}")
    if own.origin == "lost" or any(e.origin == "published classifier" for e in ancestry.inherited):
        sentences.append("Whether the network was trained on any of these pictures is not known.")
    if lost := [each.name for each in ancestry.inherited if each.origin == "lost"]:
        sentences.append(
            f"Which pictures trained {_names(lost)}, {come}, is not known: some of these may be "
            "among them."
        )
    return sentences


def _count(pictures: EvaluatedSplit, which: Mask) -> str:
    """Returns "these pictures", or "49 of these 70 pictures"."""
    if pictures.own and which.all():
        return "these pictures"
    return f"{which.sum():,} of these {len(which):,} pictures"


def _by(pictures: EvaluatedSplit, which: Mapping[Ancestor, Mask], did: str) -> str:
    """Returns "49 of 70 test pictures trained runs/d"."""
    counts = {each.name: int(mask.sum()) for each, mask in which.items() if mask.any()}
    names = sorted(counts, key=lambda name: -counts[name])
    if len(names) > 1:
        names = [f"{name} ({counts[name]:,})" for name in names]
    mask, n = np.any(list(which.values()), axis=0), f"{len(pictures.digests):,}"
    of = f"{n} {pictures.split} pictures" if pictures.own else f"these {n} pictures"
    return f"{mask.sum():,} of {of} {did} {_names(names)}"


def _names(names: Sequence[str]) -> str:
    """Returns "runs/a, runs/b and runs/c", or three of them and how many more there are."""
    more = len(names) - _NAMED
    *shown, last = [*names[:_NAMED], *([f"{more:,} more"] if more > 0 else [])]
    return " and ".join(filter(None, (", ".join(shown), last)))


def _any(masks: Mapping[Ancestor, Mask], like: Mask) -> Mask:
    return np.any(list(masks.values()), axis=0) if masks else np.zeros_like(like)
