"""What somebody meant who mistyped a word, or who knows the key by another tool's name for it."""

import difflib
import tomllib
from collections.abc import Collection
from pathlib import Path

from bcjax.config.table import KEYS, OLD_KEYS
from bcjax.runtime.errors import UserError

NAMES_FILE = Path(__file__).with_name("other_names.toml")

# The key that each name stands for which other tools (timm, Keras, Ultralytics, ...) give to it.
OTHER_NAMES: dict[str, str] = {
    other: f"{branch}.{name}".removeprefix(".")
    for branch, rows in tomllib.loads(NAMES_FILE.read_text()).items()
    for name, others in rows.items()
    for other in others.split()
}

BRANCHES = frozenset(key.rpartition(".")[0] for key in KEYS) - {""}


def nearest(word: str, known: Collection[str]) -> str:
    """Returns ': did you mean X?' for the known word most like `word`, or '.'."""
    return _did_you_mean(difflib.get_close_matches(word, list(known), 1, 0.6))


def nearest_key(word: str) -> str:
    """Returns ': did you mean X?' for the config key that `word` stands for, or '.'.

    First comes what it means: the last part of a key, or the name of another tool for it. Then
    what it looks like.
    """
    return _did_you_mean(_by_meaning(word) or _by_spelling(word))


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
        raise UserError(f"config.{word} is a branch, not a value: set a key below it.")
    raise UserError(f"There is no config key {word!r}{nearest_key(word)}")


def renamed(old: str) -> str:
    """Returns the sentence about a key of `OLD_KEYS`."""
    return f"config.{old} is now called config.{OLD_KEYS[old]}: write that."


def _by_meaning(word: str) -> list[str]:
    branch, _, last = word.replace("-", "_").lower().rpartition(".")
    same = [key for key in KEYS if key.rpartition(".")[2] == last]
    same += [OTHER_NAMES[last]] if last in OTHER_NAMES else []
    # The same branch first, then what lies nearest to the root.
    return sorted(same, key=lambda key: (key.rpartition(".")[0] != branch, key.count(".")))[:1]


def _by_spelling(word: str) -> list[str]:
    if keys := difflib.get_close_matches(word, KEYS, 1, 0.6):
        return keys
    names = OTHER_NAMES | {name.rpartition(".")[2]: name for name in KEYS}
    last = word.rpartition(".")[2].lower()
    return [names[name] for name in difflib.get_close_matches(last, names, 1, 0.8)]


def _did_you_mean(matches: list[str]) -> str:
    return f": did you mean {matches[0]!r}?" if matches else "."
