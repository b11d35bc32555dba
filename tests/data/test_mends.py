"""A refusal of data names what would mend it, and each flag that it names does."""

import json
import re
import shlex
import shutil

import cv2
import pytest
from blobs import blobs
from picture_sources import settings

from bcjax.data import preparation
from bcjax.data.curate import mends
from bcjax.runtime.errors import UserError

CELLS = blobs(40)


def folder(root, counts):
    """Class folders with so many different cells each, and how many of these are cut short."""
    cells = iter(CELLS)
    for name, (whole, broken) in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(whole + broken):
            encoded = cv2.imencode(".png", next(cells))[1].tobytes()
            (root / name / f"{i}.png").write_bytes(encoded if i < whole else encoded[:40])
    return root


def flags(message):
    """The settings that a message names."""
    found = {}
    for word in shlex.split(message.replace(", or", " or").rstrip(".")):
        if flag := re.fullmatch(r"--config\.data\.(\w+)=(.*?),?", word):
            key, value = flag.groups()
            found[key] = tuple(json.loads(value)) if value[0] == "[" else (value,)
    fractions = re.search(r"set (data\.\w+)(?: (or|and) (data\.\w+))? to 0", message)
    if fractions:
        first, join, second = fractions.groups()
        for name in filter(None, (first, second if join == "and" else None)):
            found.setdefault("fractions", []).append(name.removeprefix("data."))
    if folds := re.search(r"cut (\d+) data.folds", message):
        found["folds"] = int(folds[1])
    return found


def mended(location, key, value, **rules):
    """The settings after one mend."""
    data = settings(location, **rules)
    if key == "fractions":
        data.update(dict.fromkeys(value, 0.0))
    elif key == "resplit":
        data.resplit = True
    else:
        data[key] = value
    return data


CASES = {
    "one picture": (
        {"a": (9, 0), "b": (9, 0), "rare": (1, 0)}, {}, {"drop_classes", "fractions"},
    ),
    "two pictures": (
        {"a": (9, 0), "b": (9, 0), "rare": (2, 0)}, {}, {"drop_classes", "fractions"},
    ),
    "of two classes": ({"a": (9, 0), "rare": (1, 0)}, {}, {"fractions"}),
    "one class is dropped already": (
        {"a": (9, 0), "b": (9, 0), "c": (9, 0), "rare": (2, 0)},
        {"drop_classes": ("c",)},
        {"drop_classes", "fractions"},
    ),
    "a name with a space": (
        {"a": (9, 0), "b": (9, 0), "it's rare": (2, 0)}, {}, {"drop_classes", "fractions"},
    ),
    "folds": (
        {"a": (9, 0), "b": (9, 0), "rare": (4, 0)},
        {"folds": 5, "test_fraction": 0.0},
        {"drop_classes", "folds"},
    ),
    "none can be read": (
        {"a": (9, 0), "b": (9, 0), "rare": (0, 4)},
        {"on_bad_image": "skip"},
        {"drop_classes"},
    ),
    "all are excluded": (
        {"a": (9, 0), "b": (9, 0), "rare": (4, 0)},
        {"exclude": ("rare/*",)},
        {"drop_classes"},
    ),
    "none in train": (
        {"train/a": (6, 0), "train/b": (6, 0), "test/a": (3, 0), "test/b": (3, 0),
         "test/rare": (5, 0)},
        {},
        {"drop_classes", "resplit"},
    ),
    "no split can be read": (
        {"train/a": (6, 0), "train/b": (6, 0), "test/a": (0, 3), "test/b": (0, 3)},
        {"on_bad_image": "skip"},
        {"resplit"},
    ),
    "marked test only": ({"test/a": (9, 0), "test/b": (9, 0)}, {}, {"resplit"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_mend_that_a_refusal_names_works(case, tmp_path):
    counts, rules, expected = CASES[case]
    location = folder(tmp_path / "in", counts)
    with pytest.raises(UserError) as caught:
        preparation.prepare(settings(location, **rules), tmp_path / "out")
    named = flags(str(caught.value))
    assert set(named) == expected, caught.value
    for key, value in named.items():
        data = mended(location, key, value, **rules)
        assert preparation.prepare(data, tmp_path / f"out {key}").size("train")


def test_the_mend_of_a_leak_keeps_the_rules_that_are_there_and_fits_many_copies(tmp_path):
    location = folder(
        tmp_path / "in", {f"{split}/{name}": (6, 0) for split in ("train", "test") for name in "ab"}
    )
    for i in range(4):
        for split in ("train", "test"):
            shutil.copy(location / "train/a/0.png", location / split / "a" / f"copy{i}.png")
    shutil.copy(location / "train/a/1.png", location / "train/b/conflict.png")
    shutil.copy(location / "train/b/2.png", location / "test/b/twin.png")
    rules = {"drop": ("conflicts",), "max_copies": 3}
    with pytest.raises(UserError, match="The splits leak") as caught:
        preparation.prepare(settings(location, **rules), tmp_path / "out")
    named = flags(str(caught.value))
    assert named["drop"] == ("conflicts", "copies", "duplicates")
    data = mended(location, "drop", named["drop"], max_copies=3)
    assert preparation.prepare(data, tmp_path / "mended").leaks.sentence == ""


def test_a_flag_is_written_as_people_type_it_where_that_is_clear():
    assert mends.setting("drop_classes", ["basophil"]) == "--config.data.drop_classes=basophil"
    flag = mends.setting("exclude", ["a b.png", "c, d.png"])
    assert shlex.split(flag) == ['--config.data.exclude=["a b.png", "c, d.png"]']
    assert mends.one_of(["a"]) == "a"
    assert mends.one_of(["a", "b"]) == "a, or b"
    assert mends.one_of(["a", "b", "c"]) == "a, b, or c"
