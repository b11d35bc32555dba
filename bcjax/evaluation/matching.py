"""Which classes of another laboratory's pictures are which of the network's."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from bcjax.evaluation.answers import Answers
from bcjax.runtime.errors import UserError

FLAG = "--map-classes"
NOWHERE = "-"  # what a class is mapped to that is to be left out


@dataclasses.dataclass(frozen=True)
class Matching:
    """Where each class of other pictures belongs.

    Attributes:
      theirs: The classes of the other pictures, in label order.
      home: Those of the network, in the order of its logits.
      to_home: For each of `theirs` its position in `home`; -1: it is left out.
      counts: Pictures of each of `theirs` in the split.
    """

    theirs: tuple[str, ...]
    home: tuple[str, ...]
    to_home: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def mapped(self) -> dict[str, str]:
        """The home class of each class that has one."""
        pairs = zip(self.theirs, self.to_home, strict=True)
        return {name: self.home[label] for name, label in pairs if label >= 0}

    @property
    def left_out(self) -> dict[str, int]:
        """How many pictures there are of each class that has no home class."""
        rows = zip(self.theirs, self.to_home, self.counts, strict=True)
        return {name: count for name, label, count in rows if label < 0 and count}

    def __call__(self, answers: Answers) -> Answers:
        """Returns the answers for the classes that are mapped, under the home classes' labels."""
        labels = np.array(self.to_home, np.int32)[answers.labels]
        kept = np.flatnonzero(labels >= 0)
        return Answers(
            self.home,
            tuple(answers.ids[i] for i in kept),
            tuple(answers.groups[i] for i in kept),
            labels[kept],
            answers.logits[kept],
        )


def read(text: str) -> dict[str, str]:
    """Reads "band=neutrophil,segmented=neutrophil,artefact=-": their class = home class.

    Raises:
      UserError: If it is not written so, or a class of theirs is mapped twice.
    """
    asked: dict[str, str] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        theirs, equals, home = (part.strip() for part in pair.rpartition("="))
        if not (theirs and equals and home):
            raise UserError(
                f"{FLAG} has {pair!r}: write THEIRS=HOME, or THEIRS={NOWHERE} to leave a class out."
            )
        if theirs in asked:
            raise UserError(f"{FLAG} maps {theirs!r} twice: map each class once.")
        asked[theirs] = home
    return asked


def match(
    source: str,
    theirs: Mapping[str, int],
    home: Sequence[str],
    asked: Mapping[str, str] | None = None,
    dropped: Sequence[str] = (),
) -> Matching:
    """Finds the home class of each class of other pictures.

    A class belongs where `asked` says, else to the home class whose name differs by case at most.

    Args:
      source: Of the other pictures, for messages.
      theirs: How many pictures the split has of each of their classes, in label order.
      home: The network's classes, in the order of its logits.
      asked: Their class to home class, or to "-"; what is neither there nor named alike is left
        out. None: then it is refused.
      dropped: Classes that the run's own data had, and was not trained on; left out.

    Raises:
      UserError: A class that is named is none of theirs or none of the home's; a class belongs
        nowhere and nobody said that it may; or no picture is left.
    """
    wanted: dict[str, str] = {}
    for name, where in (asked or {}).items():
        found = _alike(name, list(theirs))
        if found is None:
            raise UserError(
                f"{FLAG} maps {name!r}, which is no class of {source}: {_hint(name, theirs)}."
            )
        if where != NOWHERE and _alike(where, home) is None:
            raise UserError(
                f"{FLAG} maps {name!r} of {source} to {where!r}, which is no class of the "
                f"network: {_hint(where, home)}."
            )
        wanted[found] = where
    labels = []
    for name, count in theirs.items():
        alike = _alike(wanted.get(name, name), home)
        if alike is None and asked is None and count and _alike(name, dropped) is None:
            raise UserError(
                f"The class {name!r} of {source} is none of the network's: {_hint(name, home)}; "
                f"say which it is with {FLAG}='{name}=HOME', or leave it out with "
                f"{FLAG}='{name}={NOWHERE}'."
            )
        labels.append(-1 if alike is None else list(home).index(alike))
    matching = Matching(tuple(theirs), tuple(home), tuple(labels), tuple(theirs.values()))
    if sum(matching.left_out.values()) == sum(theirs.values()):
        raise UserError(
            f"No class of {source} ({', '.join(theirs)}) is one of the network's "
            f"({', '.join(home)}): say which is which with {FLAG}=THEIRS=HOME,..."
        )
    return matching


def _alike(name: str, known: Sequence[str]) -> str | None:
    """The one of the known names that is the same, or else the same but for case."""
    if name in known:
        return name
    alike = [other for other in known if other.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def _hint(name: str, known: Sequence[str] | Mapping[str, int]) -> str:
    lower = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold(), lower, 1, 0.0)
    return f"the nearest is {lower[near[0]]!r}"
