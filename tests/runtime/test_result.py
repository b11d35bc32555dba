"""Results as plain values: written, read again, and refused when they are damaged."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result


@dataclasses.dataclass(frozen=True)
class Part(Result):
    name: str
    share: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole(Part):
    parts: tuple[Part, ...]
    by_name: Mapping[str, Part]
    matrix: tuple[tuple[int, ...], ...]
    maybe: Part | None
    note: str = ""
    path: Path | None = dataclasses.field(default=None, compare=False)


WHOLE = Whole(
    name="all",
    share=0.5,
    parts=(Part("a", None),),
    by_name={"b": Part("b", 0.25)},
    matrix=((1, 2), (3, 4)),
    maybe=None,
    path=Path("here.json"),
)


def test_a_result_is_read_as_it_was_written():
    page = json.loads(json.dumps(WHOLE.to_dict()))
    assert page == WHOLE.to_dict()
    assert Whole.from_dict(page) == WHOLE
    changed = dataclasses.replace(WHOLE, note="said", maybe=Part("c", 1.0))
    assert Whole.from_dict(json.loads(json.dumps(changed.to_dict()))) == changed


def test_own_attributes_come_first_and_defaults_and_the_path_are_left_out():
    assert list(WHOLE.to_dict()) == ["parts", "by_name", "matrix", "maybe", "name", "share"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": "a"}', "7"])
def test_a_damaged_file_is_named_with_the_mend(tmp_path, text):
    path = tmp_path / "part.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"part\.json is damaged .*: measure it anew\."):
        Part.read_file(path, "measure it anew")
