import collections
import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bcjax.data.sources.synthetic import CLASSES, draw, source
from bcjax.runtime.errors import UserError

LABELS = range(len(CLASSES))


def test_classes_are_those_of_pbc_in_alphabetical_order():
    assert len(CLASSES) == 8
    assert list(CLASSES) == sorted(CLASSES)


@settings(max_examples=25)
@given(
    label=st.sampled_from(LABELS),
    index=st.integers(0, 10**9),
    seed=st.integers(0, 2**40),
    size=st.integers(16, 80),
)
def test_every_drawing_is_a_picture_with_the_cell_over_its_centre(label, index, seed, size):
    drawing = draw(label, index, seed=seed, size=size)
    assert drawing.image.shape == (size, size, 3)
    assert drawing.image.dtype == np.uint8
    assert drawing.mask.shape == (size, size)
    assert drawing.mask.dtype == bool
    assert drawing.mask[size // 2, size // 2]
    assert not drawing.mask[0].any()
    assert drawing.mask.mean() < 0.4


def test_drawings_do_not_depend_on_what_was_drawn_before():
    wanted = [(label, index) for label in LABELS for index in range(2)]
    there = {key: draw(*key, seed=3, size=48).image for key in wanted}
    back = {key: draw(*key, seed=3, size=48).image for key in reversed(wanted)}
    for key in wanted:
        np.testing.assert_array_equal(there[key], back[key])


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_label_index_and_seed_each_change_the_drawing(other):
    label, index, seed = other
    assert not np.array_equal(
        draw(0, 0, size=48).image, draw(label, index, seed=seed, size=48).image
    )


@pytest.mark.parametrize("label", LABELS, ids=CLASSES)
def test_size_changes_the_pixels_and_not_the_scene(label):
    def place_and_width(size):
        mask = draw(label, 5, size=size).mask
        return (np.argwhere(mask).mean(0) + 0.5) / size, np.sqrt(mask.mean())

    (near, narrow), (far, wide) = place_and_width(64), place_and_width(256)
    np.testing.assert_allclose(near, far, atol=0.25 / 64)  # within a quarter of a pixel
    np.testing.assert_allclose(narrow, wide, atol=0.5 / 64)


def test_cells_are_as_large_as_their_kind():
    area = {
        name: np.mean([draw(label, index, size=48).mask.mean() for index in range(12)])
        for label, name in enumerate(CLASSES)
    }
    assert min(area, key=area.__getitem__) == "platelet"
    assert max(area, key=area.__getitem__) == "monocyte"
    assert area["erythroblast"] < area["neutrophil"]
    assert area["lymphocyte"] < area["ig"]


def test_the_cell_is_darker_than_the_glass_around_it():
    for label in LABELS:
        drawing = draw(label, 1, size=64)
        assert drawing.image[drawing.mask].mean() < drawing.image[~drawing.mask].mean() - 20


def test_eosinophils_are_redder_than_neutrophils():
    def redness(name):
        drawings = (draw(CLASSES.index(name), index, size=32) for index in range(40))
        return np.median([(d.image[d.mask] @ [1.0, 0.0, -1.0]).mean() for d in drawings])

    assert redness("eosinophil") > redness("neutrophil") + 5


def test_nearest_centroids_tell_the_classes_apart_far_better_than_chance():
    pixels = (np.arange(32) + 0.5) / 32 - 0.5
    rings = np.digitize(np.hypot(pixels, pixels[:, None]), [0.06, 0.12, 0.18, 0.24])

    def features(label, index):
        image = draw(label, index, size=32).image / 255
        inside = [image[rings == ring] for ring in range(4)]
        return np.concatenate([[ring.mean(0), ring.std(0)] for ring in inside]).ravel()

    data = np.array([[features(label, index) for index in range(30)] for label in LABELS])
    data = (data - data[:, :20].mean((0, 1))) / data[:, :20].std((0, 1))
    centroids = data[:, :20].mean(1)
    distances = np.linalg.norm(data[:, 20:, None] - centroids, axis=-1)
    accuracy = (distances.argmin(-1) == np.arange(len(CLASSES))[:, None]).mean()
    assert accuracy > 0.5  # chance is 0.125


def test_source_is_balanced_and_every_split_has_its_share_of_every_class():
    records = source(1600).records
    assert len(records) == 1600
    assert len({record.id for record in records}) == 1600
    counts = collections.Counter((record.split, record.label) for record in records)
    assert counts == {
        (split, label): share
        for label in LABELS
        for split, share in (("train", 140), ("val", 30), ("test", 30))
    }


@given(count=st.integers(40, 400))
@settings(max_examples=20)
def test_any_count_is_balanced_within_one_and_leaves_no_split_without_a_class(count):
    records = source(count).records
    per_class = collections.Counter(record.label for record in records).values()
    assert sum(per_class) == count
    assert max(per_class) - min(per_class) <= 1
    assert len({(record.split, record.label) for record in records}) == 3 * len(CLASSES)


def test_a_larger_source_only_adds_pictures():
    small, large = source(80), source(200)
    assert [r.id for r in small.records] == [r.id for r in large.records[:80]]
    assert small.records[7].read() == large.records[7].read()


def test_records_read_as_the_drawing_they_name():
    data = source(40, size=64, seed=2)
    for record in data.records[::7]:
        split, name, file = record.id.split("/")
        assert record.split == split
        assert data.classes[record.label] == name
        encoded = record.read()
        assert encoded == record.read()
        picture = Image.open(io.BytesIO(encoded))
        assert picture.format == "JPEG"
        drawn = draw(record.label, int(file.removesuffix(".jpg")), seed=2, size=64).image
        assert np.abs(np.asarray(picture, int) - drawn).mean() < 3


def test_records_can_be_sent_to_worker_processes():
    record = source(40, size=32).records[3]
    assert pickle.loads(pickle.dumps(record)).read() == record.read()


def test_fingerprint_names_count_size_and_seed():
    prints = {
        source(40).fingerprint,
        source(41).fingerprint,
        source(40, size=64).fingerprint,
        source(40, seed=1).fingerprint,
    }
    assert len(prints) == 4
    assert source(40).fingerprint == source(40).fingerprint


def test_source_says_that_its_pictures_are_drawings():
    (note,) = source(40).notes
    assert "drawings" in note


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"count": 39}, "40"), ({"size": 8}, "16"), ({"seed": -1}, "-1")],
)
def test_mistakes_are_named(arguments, named):
    with pytest.raises(UserError, match=named):
        source(**arguments)


def test_a_label_without_a_class_is_refused():
    with pytest.raises(IndexError):
        draw(len(CLASSES), 0)
    with pytest.raises(ValueError, match="non-negative"):
        draw(-1, 0)
