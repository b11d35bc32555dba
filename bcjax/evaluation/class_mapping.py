"""Which of another laboratory's classes is which of the network's."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from bcjax.data.records import normal_form
from bcjax.evaluation.answers import Answers
from bcjax.runtime.errors import UserError

LEFT_OUT = "-"  # what a class is mapped to in order to leave it out


@dataclasses.dataclass(frozen=True)
class ClassMapping:
    """The home class of each class of other pictures.

    Attributes:
      theirs: The classes of the other pictures, in label order.
      home: The network's classes, in the order of its logits.
      to_home: For each of `theirs` its position in `home`; -1: it is left out.
      counts: Number of pictures of each of `theirs` in the split.
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
        """Returns the answers to pictures of mapped classes, labelled by their home class."""
        labels = np.array(self.to_home, np.int32)[answers.labels]
        kept = np.flatnonzero(labels >= 0)
        return dataclasses.replace(answers.take(kept), classes=self.home, labels=labels[kept])


def parse(text: str) -> dict[str, str]:
    """Parses "band=neutrophil,segmented=neutrophil,artefact=-": their class = home class.

    Raises:
      UserError: If it is not of this form, or one of their classes is mapped twice.
    """
    mapping: dict[str, str] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        theirs, equals, home = (part.strip() for part in pair.rpartition("="))
        if not (theirs and equals and home):
            raise UserError(
                f"map_classes has {pair!r}: write THEIRS=HOME, or THEIRS={LEFT_OUT} to leave a "
                "class out."
            )
        if theirs in mapping:
            raise UserError(f"map_classes maps {theirs!r} twice: map each class once.")
        mapping[theirs] = home
    return mapping


def map_classes(
    source: str,
    theirs: Mapping[str, int],
    home: Sequence[str],
    given: Mapping[str, str] | None = None,
    dropped: Sequence[str] = (),
) -> ClassMapping:
    """Finds the home class of each class of other pictures.

    It is the one that is given, else the home class with the same name, upper and lower case
    being the same.

    Args:
      source: Where the other pictures are from, for messages.
      theirs: Number of pictures in the split of each of their classes, in label order.
      home: The network's classes, in the order of its logits.
      given: Their class to home class, or to "-". A class that is neither given nor named alike is
        left out. None: such a class is an error.
      dropped: Classes of the run's own data that it was not trained on; they are left out.

    Raises:
      UserError: If a given class is none of theirs or none of the home's, a class has no home class
        and `given` is None, or no picture is left.
    """
    wanted: dict[str, str] = {}
    for name, home_name in (given or {}).items():
        their_name = _alike(name, list(theirs))
        if their_name is None:
            raise UserError(
                f"map_classes maps {name!r}, which is no class of {source}: {_hint(name, theirs)}."
            )
        if home_name != LEFT_OUT and _alike(home_name, home) is None:
            raise UserError(
                f"map_classes maps {name!r} of {source} to {home_name!r}, which is no class of the "
                f"network: {_hint(home_name, home)}."
            )
        wanted[their_name] = home_name
    labels = []
    for name, count in theirs.items():
        alike = _alike(wanted.get(name, name), home)
        if alike is None and given is None and count and _alike(name, dropped) is None:
            raise UserError(
                f"The class {name!r} of {source} is none of the network's: {_hint(name, home)}; "
                f"say which it is in map_classes ({name}=HOME), or leave it out there "
                f"({name}={LEFT_OUT})."
            )
        labels.append(-1 if alike is None else list(home).index(alike))
    mapping = ClassMapping(tuple(theirs), tuple(home), tuple(labels), tuple(theirs.values()))
    if sum(mapping.left_out.values()) == sum(theirs.values()):
        raise UserError(
            f"No class of {source} ({', '.join(theirs)}) is one of the network's "
            f"({', '.join(home)}): say which is which in map_classes (THEIRS=HOME,...)."
        )
    return mapping


def _alike(name: str, known: Sequence[str]) -> str | None:
    """Returns the known name that is the same, or the only one that differs in case or form."""
    if name in known:
        return name
    wanted = normal_form(name).casefold()
    alike = [other for other in known if normal_form(other).casefold() == wanted]
    return alike[0] if len(alike) == 1 else None


def _hint(name: str, known: Sequence[str] | Mapping[str, int]) -> str:
    lower = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold(), lower, 1, 0.0)
    return f"the nearest is {lower[near[0]]!r}"
