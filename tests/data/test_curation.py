"""What the config leaves out is what it says, each with its reason, and nothing else."""

import numpy as np
import pytest
from blobs import blobs, record, source
from picture_sources import settings

from bcjax.data import preparation
from bcjax.data.curate import curation
from bcjax.runtime.errors import UserError

CELLS = blobs(60)
AN2DL_CLASSES = 8


def curated(extra=(), classes=("a", "b"), complete=True, unlabelled=(), **rules):
    """30 cells of each of two classes and some more, curated."""
    records = [record(f"{'ab'[i % 2]}/{i:02}.png", CELLS[i], i % 2) for i in range(60)]
    made = source([*records, *extra], classes, unlabelled=unlabelled)
    return curation.curate(made, settings(**rules), complete=complete)


def ids(done):
    return {record.id for record in done.pictures.records}


CONFLICT = [record("b/conflict.png", CELLS[0], 1)]
DUPLICATES = [record("b/twin.png", CELLS[1], 1), record("a/twin.png", CELLS[2], 0)]


def test_what_is_excluded_is_named_with_the_pattern():
    done = curated(exclude=("a/00.png", "b/1*"))
    assert done.removed == {
        "a/00.png": "excluded by 'a/00.png'",
        **{f"b/{i}.png": "excluded by 'b/1*'" for i in (11, 13, 15, 17, 19)},
    }
    assert len(ids(done)) == 54


def test_an_id_with_brackets_excludes_itself():
    odd = record("a/cell [1].png", blobs(1, seed=9)[0])
    assert set(curated([odd], exclude=("a/cell [1].png",)).removed) == {"a/cell [1].png"}


def test_a_dropped_class_is_gone_and_the_labels_move_up():
    third = [record(f"0/{i}", cell, 2) for i, cell in enumerate(blobs(20, seed=3))]
    done = curated(third, ("x", "y", "z"), drop_classes=("x",))
    assert done.classes == ("y", "z")
    assert {(r.id[0], r.label) for r in done.pictures.records} == {("b", 0), ("0", 1)}
    assert set(done.removed.values()) == {"class x dropped"}
    assert len(done.removed) == 30


@pytest.mark.parametrize("share", [0.2, 0.5, 1])
def test_a_share_of_a_class_is_kept_whatever_the_order_of_the_records(share):
    done = curated(keep=(f"b={share}",))
    assert sum(id_.startswith("b/") for id_ in ids(done)) == 30 * share
    assert sum(id_.startswith("a/") for id_ in ids(done)) == 30
    turned = source([record(f"b/{i:02}.png", CELLS[i], 1) for i in range(59, 0, -2)]
                    + [record(f"a/{i:02}.png", CELLS[i], 0) for i in range(0, 60, 2)])  # fmt: skip
    assert ids(curation.curate(turned, settings(keep=(f"b={share}",)))) == ids(done)


def test_another_seed_keeps_others():
    kept = [ids(curated(keep=("b=0.5",), split_seed=seed)) for seed in (0, 1)]
    assert kept[0] != kept[1]


def test_of_duplicates_one_stays_and_of_conflicts_none():
    done = curated([*CONFLICT, *DUPLICATES], drop=("conflicts", "duplicates"))
    assert done.removed == {
        "a/00.png": "conflicts",
        "b/conflict.png": "conflicts",
        "a/twin.png": "duplicates: same as a/02.png",
        "b/twin.png": "duplicates: same as b/01.png",
    }


def test_of_duplicates_the_one_in_test_stays():
    rows = [(i, split) for i in range(10) for split in ("train", "test")]
    records = [
        record(f"{split}/{i}", blobs(20, seed=5)[i + 10 * (split == "test")], i % 2, split=split)
        for i, split in rows
    ]
    records += [record("train/copy", blobs(20, seed=5)[15], 1, split="train")]
    done = curation.curate(source(records), settings(drop=("duplicates",), val_fraction=0))
    assert done.removed == {"train/copy": "duplicates: same as test/5"}


def test_a_conflict_whose_wrong_picture_is_excluded_is_none():
    with pytest.raises(UserError, match=r"labels \(a/00\.png = b/conflict\.png; 1 in all\): "):
        curated(CONFLICT)
    done = curated(CONFLICT, exclude=("b/conflict.png",), drop=("conflicts",))
    assert set(done.removed) == {"b/conflict.png"}


def test_rows_without_a_label_are_named_among_what_is_left_out():
    assert curated(unlabelled=[("c.png", "no label")]).removed == {"c.png": "no label"}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"exclude": ("a/00.jpg",)}, r"'a/00\.jpg', which is no picture: did you mean 'a/00\.png'"),
        ({"drop_classes": ("B",)}, "data.drop_classes names 'B', which is no class"),
        ({"drop_classes": ("a",)}, r"data.drop_classes=\('a',\) leaves 1 class"),
        ({"drop": ("duplicate",)}, "did you mean 'duplicates'"),
        ({"keep": ("c=0.5",)}, "data.keep names 'c', which is no class"),
        ({"keep": ("b",)}, "data.keep has 'b': write CLASS=SHARE"),
        ({"keep": ("b=0",)}, "a share above 0 and at most 1"),
        ({"keep": ("b=much",)}, "a share above 0 and at most 1"),
        ({"exclude": ("b/*",)}, r"data.exclude=\('b/\*',\) leaves no picture of class 'b'"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rules, said):
    with pytest.raises(UserError, match=said):
        curated(**rules)


def test_a_finding_that_empties_a_class_is_refused():
    memes = [record(f"c/{i}", CELLS[0], 2) for i in range(30)]
    with pytest.raises(UserError, match=r"data.drop=\('conflicts',\) leaves .* class 'c'"):
        curated(memes, ("a", "b", "c"), drop=("conflicts",))


def test_a_split_that_the_rules_empty_is_refused():
    records = [
        record(f"{split}/{i}", cell, i % 2, split=split)
        for split, seed in (("train", 6), ("test", 7))
        for i, cell in enumerate(blobs(10, seed))
    ]
    with pytest.raises(UserError, match="leave no picture in the split test"):
        curation.curate(source(records), settings(exclude=("test/*",)))
    with pytest.raises(UserError, match="leave class 'b' no training picture"):
        curation.curate(source(records), settings(exclude=("train/[13579]",)))


def test_rules_of_the_training_set_do_not_hold_for_other_data():
    data = curation.without_training_rules(
        settings(exclude=("x",), drop=("conflicts",), keep=("b=0.5",), drop_classes=("c", "b"))
    )
    data.val_fraction = data.test_fraction = 0
    third = [record(f"d/{i}", cell, 2) for i, cell in enumerate(blobs(5, seed=3))]
    records = [record(f"{i}", CELLS[i], i % 2) for i in range(20)] + CONFLICT
    done = curation.curate(source([*records, *third], ("a", "b", "d")), data, complete=False)
    assert set(done.removed.values()) == {"class b dropped"}
    assert done.classes == ("a", "d")


# What AN2DL's training set is like


@pytest.fixture(scope="module")
def an2dl(tmp_path_factory):
    """5,000 honest cells, 8 of them twice; 200 memes in each class, 200 others in one."""
    cells, memes = blobs(5000, seed=11), blobs(2, seed=12)
    label = np.arange(5000) % AN2DL_CLASSES
    images = [cells, cells[:8], *[memes[:1]] * 200 * AN2DL_CLASSES, *[memes[1:]] * 200]
    labels = [label, label[:8], np.repeat(np.arange(AN2DL_CLASSES), 200), np.full(200, 3)]
    path = tmp_path_factory.mktemp("an2dl") / "training_set.npz"
    np.savez(path, images=np.concatenate(images), labels=np.concatenate(labels)[:, None])
    return path


def test_every_meme_and_duplicate_is_found_and_no_honest_cell_lost(an2dl):
    data = settings(an2dl, drop=("conflicts", "copies", "duplicates"))
    done = curation.curate(preparation.read_source(data), data)
    kinds = {finding.kind: finding for finding in done.found}
    assert [len(cluster) for cluster in kinds["conflicts"].clusters] == [1600]
    assert sorted(len(cluster) for cluster in kinds["copies"].clusters) == [200, 1600]
    assert [len(cluster) for cluster in kinds["duplicates"].clusters] == [2] * 8
    assert ids(done) == {f"images/{i}" for i in range(5000)}
    assert set(done.removed) == {f"images/{i}" for i in range(5000, 6808)}
    assert not done.leaks
