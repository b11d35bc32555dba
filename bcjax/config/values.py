"""One value of one key: read from text, converted from what Python or YAML gave, checked."""

import ast
import contextlib
import difflib
import os
from typing import Any

from bcjax.config.key import LENGTH, PATH, Key
from bcjax.config.lengths import resolve_length
from bcjax.config.suggest import check_key
from bcjax.config.table import KEYS
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

NONE = "none"  # how "not set" is written on the command line

_WORDS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def parse(name: str, text: str) -> Any:
    """Returns the value that a text of the command line stands for.

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
        return _parse_items(text) if key.kind.item else key.kind.python(text)
    except (KeyError, ValueError, SyntaxError) as error:
        raise UserError(_wrong_kind(name, key, text)) from error


def _parse_items(text: str) -> tuple[Any, ...]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        if "," in text or " " in text:
            raise
        value = text  # one item, without its quotes
    return tuple(value) if isinstance(value, tuple | list | set) else (value,)


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
    if key.kind.python is float and isinstance(value, int | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            value = float(value)
    if not _is(value, key.kind.python):
        raise UserError(_wrong_kind(name, key, value))
    return value


def check_value(name: str, value: Any) -> None:
    """Checks one value by itself.

    Raises:
      UserError: If the key may not have it, naming what it may be.
    """
    key = KEYS[name]
    if value is None and key.optional:
        return
    if not _is(value, key.kind.python) or (key.optional and value == ""):
        raise UserError(_wrong_kind(name, key, value))
    if key.kind.item:
        _check_items(name, key, value)
    elif key.choices and value not in key.choices:
        raise UserError(
            f"config.{name} is {value!r}: choose one of {_named(key)}{_hint(value, key)}."
        )
    else:
        _check_range(name, key, value)


def _check_items(name: str, key: Key, items: tuple[Any, ...]) -> None:
    assert key.kind.item
    if not all(_is(item, key.kind.item) for item in items) or (
        key.kind.size not in (None, len(items))
    ):
        raise UserError(_wrong_kind(name, key, items))
    if key.range and not all(item in key.range for item in items):
        raise UserError(f"config.{name} is {items}: each must be {key.range}.")
    for item in items:
        if key.choices and item not in key.choices:
            raise UserError(f"config.{name} has {item!r}: choose of {_named(key)}.")


def _check_range(name: str, key: Key, value: Any) -> None:
    is_length = key.kind is LENGTH
    number = resolve_length(value, examples=1, batch_size=1, key=name) if is_length else value
    if key.range and number not in key.range:
        none = f", or {NONE}" if key.optional else ""
        raise UserError(f"config.{name} is {value!r}: it must be {key.range}{none}.")


def _is(value: Any, wanted: type) -> bool:
    """Whether a value is of a type; a whole number is a number, but no truth value is one."""
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, int | float if wanted is float else wanted)


def _wrong_kind(name: str, key: Key, value: Any) -> str:
    none = f", or {NONE}" if key.optional else ""
    return f"config.{name} is {value!r}: write {key.kind.written}{none}."


def _named(key: Key) -> str:
    return ", ".join(map(str, (*key.choices, NONE) if key.optional else key.choices))


def _hint(value: Any, key: Key) -> str:
    near = difflib.get_close_matches(str(value).lower(), list(map(str, key.choices)), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
