"""What somebody meant who mistyped a word, or who knows the key by another tool's name for it."""

import difflib
import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from bcjax.config.table import KEYS, OLD_KEYS
from bcjax.runtime.errors import UserError

NAMES_FILE = Path(__file__).with_name("other_names.toml")
NO_KEY = "none"  # the branch of names that have no key here


class Meant(NamedTuple):
    """What a name of another tool stands for.

    Attributes:
      key: The key of the config; "none.<subject>": there is none.
      form: How its value is written, or what takes its place, in a sentence; "": as there.
    """

    key: str
    form: str


def _read_names() -> dict[str, Meant]:
    names: dict[str, Meant] = {}
    for branch, rows in tomllib.loads(NAMES_FILE.read_text()).items():
        for last, row in rows.items():
            for others, form in [[row, ""]] if isinstance(row, str) else row:
                meant = Meant(f"{branch}.{last}".removeprefix("."), form)
                names |= dict.fromkeys(others.split(), meant)
    return names


OTHER_NAMES: dict[str, Meant] = _read_names()

BRANCHES = frozenset(key.rpartition(".")[0] for key in KEYS) - {""}


def nearest(word: str, known: Collection[str]) -> str:
    """Returns ': did you mean X?' for the known word most like `word`, or '.'."""
    return _did_you_mean(difflib.get_close_matches(word, list(known), 1, 0.6))


def nearest_key(word: str) -> str:
    """Returns ': did you mean X?' for the config key that `word` stands for, or '.'.

    First comes what it means: the last part of a key, or the name of another tool for it, with a
    sentence about its form where that is another. Then what it looks like.
    """
    if (meant := _by_meaning(word) or _by_spelling(word)) is None:
        return "."
    hint = "." if meant.key.startswith(NO_KEY) else _did_you_mean([meant.key])
    return f"{hint} {meant.form}".rstrip()


def check_key(word: str) -> str:
    """Returns a config key that there is.

    Raises:
      UserError: Naming the nearest key if there is no such key, or the new name of an old one.
    """
    if word in KEYS:
        return word
    if word in OLD_KEYS:
        raise UserError(renamed(word))
    if word in BRANCHES:
        such = f", such as config.{OTHER_NAMES[word].key}" if word in OTHER_NAMES else ""
        raise UserError(f"config.{word} is a branch, not a value: set a key below it{such}.")
    raise UserError(f"There is no config key {word!r}{nearest_key(word)}")


def renamed(old: str) -> str:
    """Returns the sentence about a key of `OLD_KEYS`."""
    return f"config.{old} is now called config.{OLD_KEYS[old]}: write that."


def _by_meaning(word: str) -> Meant | None:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).replace("-", "_").lower()
    branch, _, last = snake.rpartition(".")
    found = [Meant(key, "") for key in KEYS if key.rpartition(".")[2] == last]
    found += [OTHER_NAMES[last]] if last in OTHER_NAMES else []

    def distance(meant: Meant) -> tuple[bool, int]:
        # The same branch first ("optimizer" is optim), then what lies nearest to the root.
        own = meant.key.rpartition(".")[0]
        return not (own and branch.startswith(own)), meant.key.count(".")

    return min(found, key=distance, default=None)


def _by_spelling(word: str) -> Meant | None:
    if keys := difflib.get_close_matches(word, KEYS, 1, 0.6):
        return Meant(keys[0], "")
    names = OTHER_NAMES | {name.rpartition(".")[2]: Meant(name, "") for name in KEYS}
    last = word.rpartition(".")[2].lower()
    return next((names[name] for name in difflib.get_close_matches(last, names, 1, 0.8)), None)


def _did_you_mean(matches: list[str]) -> str:
    return f": did you mean {matches[0]!r}?" if matches else "."
