"""Cautions about tested pictures: whether they trained the network, or chose it."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Self

from ml_collections import ConfigDict

from bcjax.data.prepared import PreparedSet
from bcjax.runtime.run_dir import RunDir


@dataclasses.dataclass(frozen=True)
class EvaluatedSplit:
    """The pictures of an evaluation, and what a reader must know about them.

    Attributes:
      split: The split's name; "all" for all pictures of other data.
      source: Where the pictures are from, as in `config.data.source`.
      own: Whether they are of the run's own data, not of other data.
      cautions: Sentences about the part they had in making the network.
      leaks: A sentence on pictures that the splits share; "" if there are none.
    """

    split: str
    source: str
    own: bool
    cautions: tuple[str, ...]
    leaks: str = ""

    @classmethod
    def of_run(cls, workdir: Path, config: ConfigDict, prepared: PreparedSet, split: str) -> Self:
        """Describes a split of the run's own data.

        Args:
          workdir: The run's folder.
          config: The run's config.
          prepared: The run's pictures as they are now.
          split: One of their splits.
        """
        cautions = _of_own_split(workdir, config, prepared, split)
        leaks = prepared.leaks.sentence if prepared.leaks else ""
        return cls(split, config.data.source, True, cautions, leaks)

    @classmethod
    def of_other_data(
        cls, workdir: Path, source: str, prepared: PreparedSet, held_as: str, split: str
    ) -> Self:
        """Describes other data than the run's own.

        Compares the pictures, byte by byte, with those the network was trained on.

        Args:
          workdir: The run's folder.
          source: Where the other data is from.
          prepared: The other data.
          held_as: The split of `prepared` that holds the pictures.
          split: The name under which they are evaluated.
        """
        return cls(split, source, False, _of_other_data(workdir, prepared, held_as))


def _of_own_split(
    workdir: Path, config: ConfigDict, prepared: PreparedSet, split: str
) -> tuple[str, ...]:
    trained_on = RunDir(workdir).trained_on()
    if trained_on and not trained_on.same_pictures(prepared.as_trained_on()):
        return ("The pictures or their splits have changed: some may have been trained on.",)
    if split == "train":
        return ("The network was trained on these pictures: others will be answered less well.",)
    if split == config.eval.split:
        return ("The checkpoint was chosen by these pictures: others may be answered less well.",)
    return ()


def _of_other_data(workdir: Path, prepared: PreparedSet, split: str) -> tuple[str, ...]:
    trained_on = RunDir(workdir).trained_on()
    if trained_on is None or not PreparedSet.is_at(Path(trained_on.path)):
        return ("Whether the network was trained on any of these pictures is not known.",)
    trained = _digests(PreparedSet(Path(trained_on.path)), "train")
    known = [digest in trained for digest in _digests(prepared, split)]
    if not any(known):
        return ()
    return (
        f"The network was trained on {sum(known):,} of these {len(known):,} pictures: others will "
        "be answered less well.",
    )


def _digests(prepared: PreparedSet, split: str) -> dict[bytes, None]:
    """Returns the SHA-256 of each encoded picture, once, in their order."""
    if not prepared.size(split):
        return {}
    examples = prepared.examples(split)
    positions = range(len(examples))
    return {
        hashlib.sha256(example.image).digest(): None
        for start in positions[::1000]
        for example in examples[positions[start : start + 1000]]
    }
