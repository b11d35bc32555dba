"""One value of one key: read from text, converted from what Python or YAML gave, checked."""

import ast
import contextlib
import difflib
import os
from pathlib import Path
from typing import Any

from bcjax.config.key import LENGTH, PATH, Key, Kind
from bcjax.config.lengths import resolve_length
from bcjax.config.suggest import check_key
from bcjax.config.table import KEYS
from bcjax.runtime import files
from bcjax.runtime.errors import UserError, shown

NONE = "none"  # how "not set" is written on the command line

_WORDS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}

_LONGEST_TEXT, _LONGEST_NAME = 4096, 255  # as Linux has it for paths and the names in them


def parse(name: str, text: str, flag: str = "") -> Any:
    """Returns the value that a text of the command line stands for.

    A list is taken as people type it: `a,b`, `[a, b]`, `("a", "b")` or `a` alone.

    Args:
      name: The key.
      text: What the user wrote.
      flag: The flag that it was written for, where that is not `config.KEY`.

    Raises:
      UserError: If there is no such key, or the text is no value of its kind.
    """
    key = KEYS[check_key(name)]
    if key.optional and text.strip().lower() in ("", NONE):
        return None
    if key.kind is PATH:
        return files.local_path(text)
    try:
        if key.kind.python is bool:
            return _WORDS[text.strip().lower()]
        if key.kind.item:
            return _simplest(key.kind, tuple(map(key.kind.item, _split(text))))
        return key.kind.python(text)
    except (KeyError, ValueError) as error:
        raise UserError(_wrong_kind(flag or f"config.{name}", key, text)) from error


def _split(text: str) -> list[str]:
    """Splits at commas, except within quotes and brackets; quotes around an item are taken off."""
    with contextlib.suppress(ValueError, SyntaxError):  # how Python writes a list of texts
        value = ast.literal_eval(text)
        if isinstance(value, tuple | list) and all(isinstance(item, str) for item in value):
            return list(value)
    text = text.strip()
    if text[:1] + text[-1:] in ("()", "[]"):
        text = text[1:-1]
    items, depth, quote = [""], 0, ""
    for character in text:
        if character == "," and not depth and not quote:
            items.append("")
            continue
        if character == quote:
            quote = ""
        elif character in "'\"" and not items[-1].strip():
            quote = character
        depth += (character in "([{") - (character in ")]}")
        items[-1] += character
    items = [item.strip() for item in items]
    if not items[-1]:  # after a last comma, or of an empty list
        items.pop()
    return [item[1:-1] if item[:1] in "'\"" and item[-1] == item[0] else item for item in items]


def convert(name: str, value: Any) -> Any:
    """Returns a value of Python or YAML as the type that the key has.

    A whole number does where a number is wanted, a list where a tuple is. YAML takes 1e-3 (without
    a point) for text. A path is resolved, see `files.local_path`.

    Raises:
      UserError: If there is no such key, the value is not of its kind, or it is a remote path.
    """
    key = KEYS[check_key(name)]
    if value is None and key.optional:
        return None
    if key.kind is PATH and isinstance(value, str | os.PathLike):
        return files.local_path(value)
    if key.kind.item and isinstance(value, list):
        value = tuple(value)
    value = _simplest(key.kind, value)
    if key.kind.python is float and isinstance(value, int | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            value = float(value)
    wanted = key.kind.python
    if key.kind.alone and not isinstance(value, tuple):
        wanted = key.kind.item or wanted
    if not _is(value, wanted) or (wanted is float and isinstance(value, int)):
        raise UserError(_wrong_kind(f"config.{name}", key, value))
    return value


def _simplest(kind: Kind, value: Any) -> Any:
    """Returns the one item for a tuple of the same items, where it may stand for them."""
    same = kind.alone and isinstance(value, tuple) and len(value) in (1, kind.size)
    return value[0] if same and len(set(value)) == 1 else value


def check_value(name: str, value: Any) -> None:
    """Checks one value by itself.

    Raises:
      UserError: If the key may not have it, naming what it may be.
    """
    _check(f"config.{name}", KEYS[name], value)


def check_argument(name: str, value: Any, like: str) -> None:
    """Checks an argument of a function that may be what a key of the config may be.

    Args:
      name: The name of the argument.
      value: What the caller gave.
      like: The key.

    Raises:
      UserError: If the key may not have that value, naming the argument.
    """
    _check(name, KEYS[like], value)


def _check(name: str, key: Key, value: Any) -> None:
    if value is None and key.optional:
        return
    several = key.kind.item and not (key.kind.alone and not isinstance(value, tuple))
    items = value if several else (value,)
    if ((several or not key.kind.item) and not _is(value, key.kind.python)) or not all(
        _is(item, key.kind.item or key.kind.python) for item in items
    ):
        raise UserError(_wrong_kind(name, key, value))
    if several and key.kind.size not in (None, len(items)):
        raise UserError(_wrong_kind(name, key, value))
    for item in items:
        if isinstance(item, str):
            _check_text(name, key, item)
        if key.choices and item not in key.choices:
            _refuse_choice(name, key, item)
    numbers = items
    if key.kind is LENGTH:
        key_name = name.removeprefix("config.")
        numbers = (resolve_length(value, examples=1, batch_size=1, key=key_name),)
    if key.range and not all(number in key.range for number in numbers):
        each = "each" if several else "it"
        none = f", or {NONE}" if key.optional else ""
        raise UserError(f"{name} is {shown(value)}: {each} must be {key.range}{none}.")


def _check_text(name: str, key: Key, text: str) -> None:
    names = Path(text).parts if key.kind is PATH else ()
    if not text:
        raise UserError(_wrong_kind(name, key, text))
    if "\0" in text:
        raise UserError(f"{name} is {shown(text)}: leave the character NUL out.")
    if len(text) > _LONGEST_TEXT:
        raise UserError(f"{name} is {shown(text)}: write {key.kind.written} less long.")
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in names):
        raise UserError(f"{name} is {text!r}. The name is too long: give a shorter one.")


def _refuse_choice(name: str, key: Key, item: Any) -> None:
    near = difflib.get_close_matches(str(item).lower(), list(map(str, key.choices)), 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    known = ", ".join(map(str, (*key.choices, NONE) if key.optional else key.choices))
    if not key.kind.item:
        raise UserError(f"{name} is {shown(item)}: choose one of {known}{hint}.")
    several = f", on the command line such as {','.join(key.choices[:2])}"
    raise UserError(f"{name} has {shown(item)}: choose of {known}{hint}{several}.")


def _is(value: Any, wanted: type) -> bool:
    """Whether a value is of a type; a whole number is a number, but no truth value is one."""
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, int | float if wanted is float else wanted)


def _wrong_kind(name: str, key: Key, value: Any) -> str:
    none = f", or {NONE}" if key.optional else ""
    return f"{name} is {shown(value)}: write {key.kind.written}{none}."
