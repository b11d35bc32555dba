"""What belongs together lies on one side of a split, or the split is refused or marked."""

import dataclasses

import cv2
import numpy as np
import pytest
from blobs import blobs, jpeg, pictures, record, source
from picture_sources import settings

from bcjax.data.curate import canary, curation, leaks, splitting
from bcjax.data.sources import synthetic
from bcjax.runtime.errors import UserError

CELLS = blobs(60, size=48)


def cells(count=60, **kwargs):
    return [record(f"{i:02}", CELLS[i], i % 2, **kwargs) for i in range(count)]


def copies():
    """00 to 08 again, of each pair one equal and one nearly so."""
    equal = [record(f"equal{i}", CELLS[i], i % 2) for i in range(0, 9, 2)]
    return equal + [jpeg(f"lossy{i}", CELLS[i], 95, label=i % 2) for i in range(1, 9, 2)]


def split_of(done):
    return {r.id: r.split for r in done.pictures.records}


def given(*extra):
    """Three splits of 20 cells."""
    split = ("train", "val", "test")
    records = [dataclasses.replace(r, split=split[i // 20]) for i, r in enumerate(cells())]
    return source([*records, *extra])


# Groups


def test_groups_are_as_the_source_says_by_default():
    seen = pictures(cells(4, group="p"))
    assert splitting.group_of_each(seen, None) == ["p"] * 4


def test_groups_by_a_column():
    records = [record(str(i), CELLS[i], slide=f"s{i % 2}") for i in range(4)]
    assert splitting.group_of_each(pictures(records), "column:slide") == ["s0", "s1", "s0", "s1"]
    with pytest.raises(UserError, match=r"0 has nothing there: .*slide\).* mean 'slide'\?$"):
        splitting.group_of_each(pictures(records), "column:slid")


def test_groups_by_a_pattern():
    records = [record(f"p{i % 2}/x_{i}.png", CELLS[i]) for i in range(4)]
    assert splitting.group_of_each(pictures(records), r"regex:^(p\d)/") == ["p0", "p1", "p0", "p1"]
    with pytest.raises(UserError, match=r"finds nothing in 'p1/x_1\.png'"):
        splitting.group_of_each(pictures(records), "regex:^(p0)/")
    with pytest.raises(UserError, match="in parentheses"):
        splitting.group_of_each(pictures(records), "regex:^p")
    with pytest.raises(UserError, match=r"pattern '\('"):
        splitting.group_of_each(pictures(records), "regex:(")


def test_groups_by_hash_join_what_is_alike_to_what_the_source_says():
    records = [*cells(10), record("copy", CELLS[3], 1), jpeg("lossy", CELLS[5], 95, label=1)]
    records[5] = dataclasses.replace(records[5], group="patient")
    found = dict(
        zip(
            (r.id for r in records), splitting.group_of_each(pictures(records), "hash"), strict=True
        )
    )
    assert {id_: group for id_, group in found.items() if group} == {
        "03": "03", "copy": "03", "05": "patient", "lossy": "patient",
    }  # fmt: skip


def test_groups_by_copies_see_through_a_turn():
    smears = [synthetic.draw(i, 0, size=160).image for i in range(4)]
    turn = cv2.getRotationMatrix2D((80, 80), 25, 1.0)
    turned = [cv2.warpAffine(smear, turn, (160, 160)) for smear in smears]
    records = [record(f"{i}", smear) for i, smear in enumerate([*smears, *turned])]
    assert splitting.group_of_each(pictures(records), "copies") == ["0", "1", "2", "3"] * 2


def test_an_unknown_way_to_group_is_refused():
    with pytest.raises(UserError, match=r"'hsh': write column:NAME.* did you mean 'hash'"):
        splitting.group_of_each(pictures(cells(2)), "hsh")


# Splits


@pytest.mark.parametrize("seed", range(3))
def test_carved_splits_keep_copies_together(seed):
    made = source([*cells(), *copies()])
    done = curation.curate(made, settings(split_seed=seed, val_fraction=0.3, test_fraction=0.3))
    home = split_of(done)
    assert set(home.values()) == {"train", "val", "test"}
    for i in range(9):
        assert home[f"{'lossy' if i % 2 else 'equal'}{i}"] == home[f"{i:02}"]
    assert not done.leaks


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (
            record("copy", CELLS[0], 0, split="test"),
            r"too: 1 of test\): 00 \(train\) = copy \(test\): leave them out with "
            "--config.data.drop=duplicates, .*resplit=true, .*, or go on with --allow-leaks",
        ),
        (
            jpeg("lossy", CELLS[21], 95, label=1, split="train"),
            r"too: 1 of val\): lossy \(train\) ~ 21 \(val\): carve new",
        ),
    ],
)
def test_given_splits_that_share_a_picture_are_refused(extra, said):
    with pytest.raises(UserError, match=said):
        curation.curate(given(extra), settings())


def test_given_splits_that_divide_a_group_are_refused():
    records = [
        dataclasses.replace(r, group="x") if r.id in ("00", "20") else r for r in given().records
    ]
    with pytest.raises(UserError, match=r"00 \(train\) and 20 \(val\) of group 'x': carve new"):
        curation.curate(source(records), settings())


def test_of_many_leaks_five_are_named():
    again = [record(f"copy{i}", CELLS[i], i % 2, split="test") for i in range(8)]
    with pytest.raises(
        UserError, match=r"8 of test\): .*04 \(train\) = copy4 \(test\), and 3 more: "
    ):
        curation.curate(given(*again), settings())


def test_a_leak_that_is_allowed_is_noted():
    made = given(
        record("copy", CELLS[0], 0, split="test"), record("more", CELLS[0], 0, split="test")
    )
    done = curation.curate(made, settings(allow_leaks=True))
    assert done.leaks.found == (leaks.Leak("same", ("00", "copy"), ("train", "test")),)
    assert done.leaks.pictures == {"test": 2}
    assert any("This was allowed: the scores are too good" in note for note in done.notes)


def test_a_leak_can_be_mended_as_the_message_says():
    made = given(record("copy", CELLS[0], 0, split="test"))
    assert not curation.curate(made, settings(drop=("duplicates",))).leaks


def test_other_data_may_leak():
    data = curation.without_training_rules(settings())
    made = given(
        record("copy", CELLS[0], 0, split="test"), record("as b", CELLS[2], 1, split="test")
    )
    done = curation.curate(made, data, complete=False)
    assert done.leaks.pictures == {"test": 2}


def test_splits_carved_out_of_augmented_copies_are_refused_unless_grouped():
    made = source(cells(), augmented=True)
    with pytest.raises(UserError, match=r"both sides of val and test.*data\.group_by=copies"):
        curation.curate(made, settings())
    done = curation.curate(made, settings(allow_leaks=True))
    assert "would lie on both sides" in done.leaks.sentence
    grouped = curation.curate(made, settings(group_by=r"regex:^(\d)", test_fraction=0.3))
    assert not grouped.leaks
    nothing_carved = curation.curate(
        source(given().records, augmented=True), settings(val_fraction=0, test_fraction=0)
    )
    assert not nothing_carved.leaks


# The canary


def painted(copies_of_each, *, rng=None):
    """Originals whose colour tells nothing of their class, each some times, a bit noisy."""
    rng = rng or np.random.default_rng(0)
    originals = rng.integers(0, 256, (600 // copies_of_each, 96)).astype(np.float32)
    units = np.repeat(np.arange(len(originals)), copies_of_each)
    histograms = originals[units] + rng.normal(0, 2, (len(units), 96)).astype(np.float32)
    return histograms, units, units * 7919 % 1009 % 4


def scored(histograms, units, labels, split):
    records = [
        record(str(i), CELLS[0], int(label), split=str(name))
        for i, (label, name) in enumerate(zip(labels, split, strict=True))
    ]
    return canary.score_canary(records, histograms, units.tolist(), seed=0)


def test_the_canary_suspects_copies_on_both_sides():
    histograms, units, labels = painted(12)
    split = np.where(np.arange(len(units)) % 4, "train", "test")
    known = scored(histograms, units, labels, split)
    assert known.split == "test"
    assert known.n == 150
    assert known.accuracy > 0.97
    assert known.grouped < 0.5
    assert known.suspicious
    unknown = scored(histograms, np.arange(len(units)), labels, split)
    assert unknown.grouped > 0.97  # blind itself, but too good to be true
    assert unknown.suspicious
    assert "more than colours can tell" in unknown.sentence


def test_the_canary_does_not_suspect_a_split_by_groups():
    histograms, units, labels = painted(12)
    honest = scored(histograms, units, labels, np.where(units % 4, "train", "test"))
    assert honest.accuracy < 0.5
    assert not honest.suspicious
    assert "no sign of copies" in honest.sentence


def test_the_canary_needs_two_sides():
    histograms, units, labels = painted(12)
    assert scored(histograms, units, labels, np.full(len(units), "train")) is None


def test_a_class_with_few_groups_has_no_grouped_score():
    histograms, units, labels = painted(150)
    few = scored(histograms, units, labels, np.where(np.arange(600) % 4, "train", "val"))
    assert few.split == "val"
    assert few.grouped is None


def test_the_canary_looks_at_some_of_many_classes_with_all_their_pictures():
    """A forest over 1,000 classes takes gigabytes, and a thin sample would hold no copies."""
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (150, 96)).astype(np.float32)
    units = np.repeat(np.arange(150), 10)
    histograms = originals[units] + rng.normal(0, 2, (1500, 96)).astype(np.float32)
    split = np.where(np.arange(1500) % 5, "train", "test")
    found = scored(histograms, units, units, split)  # a class is ten copies of one picture
    assert found.n == 200
    assert found.accuracy > 0.97
    assert found.suspicious
    assert "100 of 150 classes" in found.sentence
