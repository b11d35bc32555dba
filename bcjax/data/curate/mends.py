"""The settings that mend a set, written so that they can be pasted into a shell."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence


def setting(key: str, names: Iterable[str]) -> str:
    """Returns the flag that sets a key of the config's `data` branch to some names."""
    names = tuple(names)
    simple = len(names) == 1 and re.fullmatch(r"[\w./-]+", names[0])
    value = names[0] if simple else json.dumps(names, ensure_ascii=False)
    return shlex.quote(f"--config.data.{key}={value}")


def dropping(name: str, classes: Sequence[str], dropped: Sequence[str] = ()) -> list[str]:
    """Returns how to leave a class out, as a list of one; of none where that leaves one class.

    Args:
      name: The class.
      classes: All classes of the source.
      dropped: The config's `data.drop_classes`.
    """
    if len(set(classes) - {*dropped, name}) < 2:
        return []
    flag = setting("drop_classes", (*dropped, name))
    return [f"leave the class out with {flag}"]


def one_of(mends: Sequence[str]) -> str:
    """Returns "a", "a, or b", or "a, b, or c"."""
    return ", or ".join(filter(None, (", ".join(mends[:-1]), mends[-1])))
