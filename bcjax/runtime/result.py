"""Results: frozen dataclasses that are written as JSON and read again."""

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from bcjax.runtime.errors import UserError


class Result:
    """A frozen dataclass that JSON can hold; its type annotations say how it is read again.

    An attribute that equals its default is left out of the plain values. Attributes that two
    results are not compared by, such as the path of their file, are always left out.
    """

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON: a class's own attributes before inherited ones."""
        own = type(self).__annotations__
        page = {}
        for field in sorted(_written(type(self)), key=lambda field: field.name not in own):
            value = getattr(self, field.name)
            if field.default is dataclasses.MISSING or value != field.default:
                page[field.name] = _plain(value)
        return page

    @classmethod
    def from_dict(cls, page: Mapping[str, Any]) -> Self:
        """Returns the result that `to_dict` turned into plain values.

        Raises:
          KeyError: If an attribute without a default is missing.
        """
        annotations = _annotations(cls)
        attributes = {
            field.name: _read(annotations[field.name], page[field.name])
            for field in _written(cls)
            if field.name in page or field.default is dataclasses.MISSING
        }
        return cls(**attributes)

    @classmethod
    def read_file(cls, path: Path, mend: str) -> Self:
        """Reads a result from a JSON file.

        Args:
          path: The file.
          mend: What a user can do if it is damaged, as the end of a sentence.

        Raises:
          UserError: If it holds no such result.
        """
        try:
            return cls.from_dict(json.loads(path.read_text()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is damaged ({error}): {mend}.") from error


def _written(kind: type) -> list[dataclasses.Field]:
    return [field for field in dataclasses.fields(kind) if field.compare]


# Kept, because resolving the annotations takes longer than all else.
_annotations: Callable[[type], dict[str, Any]] = functools.cache(typing.get_type_hints)


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _read(annotation: Any, value: Any) -> Any:
    """Returns a plain value as its annotation wants it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        several = isinstance(value, list)  # JSON has no tuples
        fitting = [each for each in arguments if (typing.get_origin(each) is tuple) == several]
        return None if value is None else _read((*fitting, *arguments)[0], value)
    if origin is tuple:
        return tuple(_read(arguments[0], each) for each in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _read(arguments[1], each) for key, each in value.items()}
    if isinstance(annotation, type) and issubclass(annotation, Result):
        return annotation.from_dict(value)
    return value
