"""The pictures behind a network: written, read, passed on, and found out for older runs."""

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest

from bcjax import config as configs
from bcjax.data.ancestry import Ancestor, Ancestry
from bcjax.data.preparation import prepare
from bcjax.data.sources import synthetic
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir


def drawings(folder, ending, *, seed=0, change=lambda pixels: pixels):
    """Class folders with drawings, each saved anew as a file of that kind."""
    for position, record in enumerate(synthetic.source(40, size=24, seed=seed).records[:32]):
        path = folder / synthetic.CLASSES[record.label] / f"{ending}{position}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), change(record.pixels())[..., ::-1])
    return folder


def prepared(source, **rules):
    data = configs.default().data
    data.update({"source": str(source), "val_fraction": 0.25, "test_fraction": 0.25, **rules})
    return prepare(data)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return prepared(drawings(tmp_path_factory.mktemp("cells"), "png"))


def all_digests(one):
    return {int(digest) for split in one.counts for digest in one.digests(split)}


def known(ancestry):
    return [(each.name, each.origin, len(each.trained), len(each.chose)) for each in ancestry.all]


# pictures


def test_a_picture_is_the_same_under_another_name_and_in_another_lossless_file(cells, tmp_path):
    assert len(all_digests(cells)) == 32
    assert all_digests(prepared(drawings(tmp_path, "bmp"))) == all_digests(cells)


def test_a_near_duplicate_is_another_picture(cells, tmp_path):
    lighter = drawings(tmp_path, "png", change=lambda pixels: pixels | 1)
    assert not all_digests(prepared(lighter)) & all_digests(cells)


def test_a_set_without_digests_is_measured(cells, tmp_path):
    path = shutil.copytree(cells.path, tmp_path / "older")
    (path / "hashes.csv").unlink()
    np.testing.assert_array_equal(type(cells)(path).digests("train"), cells.digests("train"))


# written and read


def test_it_is_read_as_it_was_written_and_shared_pictures_are_kept_once(tmp_path):
    rng = np.random.default_rng(0)
    trained = np.sort(rng.integers(0, 1 << 63, 100_000, np.uint64))
    one = Ancestor("runs/a", "known", trained, trained[:10])
    ancestry = Ancestry(one, (dataclasses.replace(one, name="runs/b"), Ancestor("w.pth", "lost")))
    ancestry.write(tmp_path)
    read = Ancestry.read(tmp_path)
    assert [each.key for each in read.all] == [each.key for each in ancestry.all]
    assert read.own.name == "runs/a"
    assert RunDir(tmp_path).ancestry.stat().st_size < 8 * 100_000 + 4_000


def test_a_damaged_file_is_refused_and_never_taken_for_clean(tmp_path):
    for content in (b"", b"PK\x03\x04", b"x" * 99):
        RunDir(tmp_path).ancestry.write_bytes(content)
        with pytest.raises(UserError, match=r"ancestry\.npz is damaged"):
            Ancestry.read(tmp_path)


def test_a_run_that_goes_on_with_other_pictures_has_both(cells, tmp_path):
    other = prepared(drawings(tmp_path, "png", seed=1))
    both = Ancestry().trained_on(cells, "runs/a").trained_on(other, "runs/moved")
    assert known(both) == [("runs/a", "known", 32, 16)]


# averages and weights


def test_an_average_has_the_ancestors_of_all_each_once(cells):
    a = Ancestry().trained_on(cells, "runs/a")
    b = Ancestry(None, a.all).trained_on(cells, "runs/b")
    whole = Ancestry.of_average([a, b, Ancestry.of_average([a, b])])
    assert whole.own is None
    assert [each.name for each in whole.all] == ["runs/a", "runs/b"]


def test_weights_pass_on_what_is_known_of_them(cells, tmp_path):
    run = tmp_path / "a"
    configs.save(configs.default(), run / "config.json")
    Ancestry(None, (Ancestor("w.pth", "published classifier"),)).trained_on(cells, "runs/a").write(
        run
    )
    (run / "exported.safetensors").touch()
    RunDir(run).checkpoints.mkdir()
    for path in (run, run / "exported.safetensors"):
        assert known(Ancestry.of_weights(path, ours=True, classifier=True)) == [
            ("runs/a", "known", 16, 8), ("w.pth", "published classifier", 0, 0)
        ]  # fmt: skip
        dropped = Ancestry.of_weights(path, ours=True, classifier=False)
        assert [each.origin for each in dropped.all] == ["known", "published"]
    elsewhere = tmp_path / "w.safetensors"
    assert known(Ancestry.of_weights(elsewhere, ours=True, classifier=True))[0][1] == "lost"
    assert known(Ancestry.of_weights(elsewhere, ours=False, classifier=False))[0][1] == "published"


# runs of versions before


@pytest.fixture
def older(cells, tmp_path):
    """Returns a function that writes the folder of a run without `ancestry.npz`."""

    def write(name, prepared=cells, digest=None, **settings):
        run = RunDir(tmp_path / name)
        config = configs.replaced(configs.default(), {"workdir": name, **settings})
        configs.save(config, run.config)
        page = {"path": str(prepared.path), "digest": digest or prepared.digest}
        run.pictures.write_text(json.dumps(page))
        run.checkpoints.mkdir()
        return run

    return write


def test_an_older_run_has_the_pictures_that_it_names(older):
    assert known(Ancestry.read(older("a"))) == [("a", "known", 16, 8)]


def test_the_split_that_is_watched_chose_the_checkpoint(older):
    assert known(Ancestry.read(older("a", **{"eval.split": "train"}))) == [("a", "known", 16, 16)]


def test_pictures_that_are_gone_or_have_changed_are_unknown_and_never_none(older, cells, tmp_path):
    run = older("a", digest="of another set")
    assert known(Ancestry.read(run)) == [("a", "lost", 0, 0)]
    run.pictures.write_text(json.dumps({"path": str(tmp_path / "gone"), "digest": cells.digest}))
    assert known(Ancestry.read(run)) == [("a", "lost", 0, 0)]
    assert known(Ancestry.read(run, cells)) == [("a", "known", 16, 8)]  # they are at hand
    run.pictures.unlink()
    assert known(Ancestry.read(run)) == [("a", "lost", 0, 0)]


def test_older_runs_are_followed_through_weights_members_and_soups(older, tmp_path):
    first, second = older("a"), older("b", **{"model.weights": str(tmp_path / "a")})
    page = {"file": str(first), "kind": "a run of bcjax", "names": "bcjax"}
    second.weights.write_text(json.dumps(page))
    assert [each[:2] for each in known(Ancestry.read(second))] == [("b", "known"), ("a", "known")]
    older("m"), older("m/member-0"), older("m/member-1")
    members = known(Ancestry.read(tmp_path / "m"))
    assert [each[0] for each in members] == ["m/member-0", "m/member-1"]
    soup = older("soup")
    (second.checkpoints / "7").mkdir(parents=True)
    parts = [{"workdir": str(second), "checkpoint": 7}, {"workdir": str(first), "checkpoint": 7}]
    soup.soup.write_text(json.dumps({"kind": "uniform", "ingredients": parts}))
    assert [each[:2] for each in known(Ancestry.read(soup))] == [
        ("b", "known"), ("a", "known"), (str(first), "lost")  # its checkpoint is gone
    ]  # fmt: skip
    shutil.rmtree(first)
    assert known(Ancestry.read(second))[1] == (str(first), "lost", 0, 0)
