"""Properties of the splits: exact, undivided groups, by class, and the same in any order."""

import random
import tracemalloc
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcjax.data.curate import splitting
from bcjax.data.records import Record, split_from_name
from bcjax.runtime.errors import UserError

FEW = settings(max_examples=40)
FRACTIONS = {"val_fraction": 0.1, "test_fraction": 0.2}


def pictures(sizes, group="", split=""):
    """`sizes[k]` records of class k; group and split may hold {i} and {label}."""
    return [
        Record(f"{label}/{i}", label, bytes, group.format(i=i, label=label), split)
        for label, size in enumerate(sizes)
        for i in range(size)
    ]


def split_of(records):
    return {record.id: record.split for record in records}


class_sizes = st.lists(st.integers(3, 60), min_size=2, max_size=5)
fractions = st.sampled_from([0.05, 0.1, 0.2, 0.3])


@FEW
@given(class_sizes, fractions, fractions, st.integers(0, 2**31))
def test_val_and_test_take_their_share_of_each_class_to_within_one_picture(sizes, val, test, seed):
    records = pictures(sizes)
    out = splitting.assign_splits(records, val_fraction=val, test_fraction=test, seed=seed)
    assert [record.id for record in out] == [record.id for record in records]
    found = Counter((record.split, record.label) for record in out)
    for label, size in enumerate(sizes):
        assert all(found[split, label] >= 1 for split in ("train", "val", "test"))
        assert abs(found["val", label] - val * size) <= 1
        assert abs(found["test", label] - test * size) <= 1


@FEW
@given(class_sizes, st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_matter(sizes, seed, shuffler):
    records = pictures(sizes, group="{label}-{i}")
    shuffled = shuffler.sample(records, len(records))
    first = splitting.assign_splits(records, **FRACTIONS, seed=seed)
    assert split_of(first) == split_of(splitting.assign_splits(shuffled, **FRACTIONS, seed=seed))
    assert split_of(first) == split_of(splitting.assign_splits(records, **FRACTIONS, seed=seed))


@FEW
@given(
    st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=12), min_size=2, max_size=4),
    st.integers(0, 2**31),
)
def test_groups_of_one_class_are_undivided_and_every_split_gets_some(groups, seed):
    records = [
        Record(f"{label}/{g}/{i}", label, bytes, group=f"{label}-{g}")
        for label, sizes in enumerate(groups)
        for g, size in enumerate(sizes)
        for i in range(size)
    ]
    homes = defaultdict(set)
    labels = defaultdict(set)
    for record in splitting.assign_splits(records, **FRACTIONS, seed=seed):
        homes[record.group].add(record.split)
        labels[record.split].add(record.label)
    assert all(len(home) == 1 for home in homes.values())
    assert all(labels[split] == set(range(len(groups))) for split in ("train", "val", "test"))


def test_groups_of_mixed_classes_are_undivided_and_divided_by_class():
    rng = random.Random(0)
    records = [
        Record(f"{i}", rng.choice([0, 0, 0, 0, 1, 1, 2]), bytes, group=f"p{rng.randrange(100)}")
        for i in range(3000)
    ]
    out = splitting.assign_splits(records, **FRACTIONS, seed=0)
    assert len({(record.group, record.split) for record in out}) == 100
    total = Counter(record.label for record in out)
    found = Counter((record.split, record.label) for record in out)
    for label, size in total.items():
        assert found["val", label] / size == pytest.approx(0.1, abs=0.03)
        assert found["test", label] / size == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("seed", range(20))
def test_a_rare_class_in_three_mixed_groups_reaches_each_split(seed):
    rng = random.Random(seed)
    records = [Record(f"{i}", i % 3 > 1, bytes, group=f"p{rng.randrange(8)}") for i in range(60)]
    rare = rng.sample(range(8), 3)
    records += [Record(f"rare/{g}", 2, bytes, group=f"p{g}") for g in rare]
    records += [Record(f"rarer/{g}", 3, bytes, group=f"p{g}") for g in (rare[0], 8, 9)]
    out = splitting.assign_splits(records, **FRACTIONS, seed=seed)
    assert len({(record.split, record.label) for record in out}) == 3 * 4


def test_units_stay_together_whatever_the_groups():
    records = pictures([30, 30], group="{label}-{i}")
    units = [("unit", str(i // 3)) for i in range(60)]
    out = splitting.assign_splits(records, **FRACTIONS, seed=0, units=units)
    homes = {(unit, record.split) for unit, record in zip(units, out, strict=True)}
    assert len(homes) == 20
    assert {record.split for record in out} == {"train", "val", "test"}
    assert [record.group for record in out] == [record.group for record in records]


def test_another_seed_gives_another_split():
    records = pictures([30, 30])
    by_seed = [
        split_of(splitting.assign_splits(records, **FRACTIONS, seed=seed)) for seed in (0, 1)
    ]
    assert by_seed[0] != by_seed[1]


@pytest.mark.parametrize(
    ("given_splits", "carved"),
    [
        (("",), {"val": 2, "test": 4}),
        (("train",), {"val": 2, "test": 4}),
        (("train", "test"), {"val": 2}),
        (("train", "val"), {"test": 4}),
        (("train", "val", "test"), {}),
    ],
)
def test_what_is_given_is_kept_and_the_rest_is_carved_out_of_train(given_splits, carved):
    records = [
        Record(f"{split}/{label}/{i}", label, bytes, split=split)
        for split in given_splits
        for label in range(2)
        for i in range(10)
    ]
    out = splitting.assign_splits(records, **FRACTIONS, seed=0)
    found = Counter(record.split for record in out)
    expected = Counter({split: 20 for split in given_splits if split})
    expected["train"] = 20 - sum(carved.values())
    assert found == expected + Counter(carved)
    source = "train" if "train" in given_splits else ""
    assert all(
        record.split == given_split
        for record in out
        if (given_split := record.id.split("/")[0]) != source
    )


def test_a_fraction_of_zero_leaves_the_split_out():
    records = pictures([5, 5])
    out = splitting.assign_splits(records, val_fraction=0, test_fraction=0.2, seed=0)
    assert {record.split for record in out} == {"train", "test"}
    out = splitting.assign_splits(records, val_fraction=0, test_fraction=0, seed=0)
    assert {record.split for record in out} == {"train"}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (pictures([9, 2]), r"class 'b' is too small .* \(pictures: 2\)"),
        (pictures([9, 6], group="{label}"), r"class 'a' is too small .*9, in groups: 1\)"),
        (pictures([9, 9], split="test"), "marked test only"),
        (pictures([4]) + pictures([0, 4], split="train"), "4 of 8 pictures name no split"),
    ],
)
def test_what_cannot_be_divided_is_named(records, message):
    with pytest.raises(UserError, match=message):
        splitting.assign_splits(records, **FRACTIONS, seed=0, classes=("a", "b"))


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.1), (0.5, 0.5), (0.0, 1.0)])
def test_fractions_that_leave_nothing_to_train_on_are_refused(val, test):
    with pytest.raises(UserError, match=r"data\.val_fraction"):
        splitting.assign_splits(pictures([9, 9]), val_fraction=val, test_fraction=test, seed=0)


def test_how_splits_were_carved_is_said():
    assert splitting.carving_notes((), grouped=True) == ()
    assert splitting.carving_notes({"test", "val"}, grouped=True) == (
        "The source names no val or test split: made group by group.",
    )
    assert (
        "a patient's other pictures may lie on both sides"
        in splitting.carving_notes({"val"}, grouped=False)[0]
    )


def test_splits_are_recognised_by_their_usual_names():
    assert [split_from_name(word) for word in ("TRAIN", "Validation", " testing ", "images")] == [
        "train",
        "val",
        "test",
        None,
    ]


def test_what_is_counted_grows_with_the_pictures_and_not_with_the_classes_too():
    """A table of each picture by each class would take 72 MB here."""
    records = pictures([3] * 3000)
    tracemalloc.start()
    out = splitting.assign_splits(records, val_fraction=0.3, test_fraction=0.3, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert Counter(record.split for record in out) == dict.fromkeys(("train", "val", "test"), 3000)
    assert peak < 30e6
