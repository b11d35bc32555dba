"""Figures that are written as JSON and read again."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Self


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured; a field whose default is None is left out of the JSON where it is None."""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        fields = {field.name: field.default for field in dataclasses.fields(self)}
        return {
            name: _plain(getattr(self, name))
            for name, default in fields.items()
            if default is not None or getattr(self, name) is not None
        }

    @classmethod
    def from_dict(cls, page: Mapping[str, Any]) -> Self:
        """Rebuilds the figures from their JSON; what these figures do not know is passed over."""
        kinds = typing.get_type_hints(cls)
        known = {name: value for name, value in page.items() if name in kinds}
        return cls(**{name: _read(kinds[name], value) for name, value in known.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Figures):
        return value.to_dict()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _read(kind: Any, value: Any) -> Any:
    """Returns a value of JSON as the type that a field has."""
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):  # with None
        return None if value is None else _read(arguments[0], value)
    if typing.get_origin(kind) is list:
        return [_read(arguments[0], each) for each in value]
    if isinstance(kind, type) and issubclass(kind, Figures):
        return kind.from_dict(value)
    return value
