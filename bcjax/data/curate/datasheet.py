"""What `datasheet.json` says: where a set is from, what was found in it and done to it."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from ml_collections import ConfigDict

from bcjax.data.curate.findings import Finding
from bcjax.data.curate.leaks import LeakReport
from bcjax.data.records import SPLITS, Record, Source
from bcjax.runtime.result import Result

if TYPE_CHECKING:
    from bcjax.data.curate.curation import CuratedPictures

# The keys of the config's `data` branch that decide which pictures stay.
RULES = (
    "exclude", "drop_classes", "drop", "max_copies", "keep", "on_bad_image", "on_unlabelled",
)  # fmt: skip
# Those that decide where pictures go.
SPLITTING = (
    "resplit", "group_by", "val_fraction", "test_fraction", "split_seed", "folds", "fold",
    "allow_leaks",
)  # fmt: skip
# All keys that change what is written.
KEYS = (*RULES, *SPLITTING, "canary")


@dataclasses.dataclass(frozen=True)
class SourceSummary(Result):
    """The source that a set was made from.

    Attributes:
      location: Where it was, as the user named it.
      kind: The kind of source, such as "class folders".
      fingerprint: A digest of its content.
      classes: Its class names in label order.
      notes: Sentences on how it was read.
    """

    location: str
    kind: str
    fingerprint: str
    classes: tuple[str, ...]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Removal(Result):
    """A picture that was left out, by its id, and the reason."""

    id: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Canary(Result):
    """The score of a model that sees only colours.

    Attributes:
      split: The split that was scored: "test", or "val" where there is no test.
      accuracy: Accuracy on that split, fitted to train.
      n: Number of pictures that were scored.
      grouped: Accuracy in cross-validation within train, with what belongs together on one side
        of each fold; None where there are too few groups.
      grouped_n: Number of pictures in that cross-validation.
      suspicious: Whether the score is more than colours can tell; see `canary.score_canary`.
      sentence: The result as a plain sentence.
    """

    split: str
    accuracy: float
    n: int
    grouped: float | None
    grouped_n: int
    suspicious: bool
    sentence: str


@dataclasses.dataclass(frozen=True)
class Datasheet(Result):
    """What was found in a source, and what was done to it.

    Attributes:
      source: The source before curation.
      classes: The class names of the set in label order.
      counts: "before" and "after" curation: the number of pictures by split and class name; "" is
        the split of pictures that have none.
      rules: The values of the keys in `RULES`.
      splits: The values of the keys in `SPLITTING`; "carving", the sentences on splits that were
        made; "groups", the number of groups.
      findings: What is remarkable.
      removed: The pictures that were left out.
      leaks: What the splits share.
      canary: The score of a model that sees only colours; None if it was not tried.
      notes: Sentences that the user should see.
    """

    source: SourceSummary
    classes: tuple[str, ...]
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    rules: Mapping[str, Any]
    splits: Mapping[str, Any]
    findings: tuple[Finding, ...]
    removed: tuple[Removal, ...]
    leaks: LeakReport
    canary: Canary | None
    notes: tuple[str, ...]

    @classmethod
    def of(cls, source: Source, curated: "CuratedPictures", data: ConfigDict) -> Self:
        """Returns the datasheet of a source that was curated by the rules of `data`."""
        records = curated.pictures.records
        groups = len({record.group for record in records if record.group})
        splits = {key: data[key] for key in SPLITTING}
        return cls(
            SourceSummary(
                source.location, source.kind, source.fingerprint, tuple(source.classes),
                tuple(source.notes),
            ),
            tuple(curated.classes),
            {
                "before": _counts(source.records, source.classes),
                "after": _counts(records, curated.classes),
            },
            {key: data[key] for key in RULES},
            splits | {"carving": tuple(curated.carving), "groups": groups},
            tuple(curated.found),
            tuple(Removal(id_, reason) for id_, reason in curated.removed.items()),
            curated.leaks,
            curated.canary,
            tuple(curated.notes),
        )  # fmt: skip


def _counts(records: Sequence[Record], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Returns the number of pictures by split and class; "" is the split of those without one."""
    counts = Counter((record.split, record.label) for record in records)
    present = [s for s in ("", *SPLITS) if any(split == s for split, _ in counts)]
    return {s: {name: counts[s, label] for label, name in enumerate(classes)} for s in present}
