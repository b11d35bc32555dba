"""Every picture is measured once, and what is remarkable about it is found."""

import hashlib

import cv2
import numpy as np
import pytest
from blobs import blobs, jpeg, pictures, png, record

from bcjax.config import KEYS
from bcjax.data.curate import findings
from bcjax.data.curate.measured_pictures import BINS, measure
from bcjax.data.records import Record

CELLS = blobs(40)


def found(records, max_copies=20):
    kinds = findings.find_remarkable(pictures(records), max_copies=max_copies)
    return {finding.kind: finding.clusters for finding in kinds}


def cells(count=12):
    return [record(f"cell{i}", CELLS[i], i % 2) for i in range(count)]


def test_the_config_knows_each_finding_that_may_be_left_out():
    assert set(KEYS["data.drop"].choices) == set(findings.DROPPABLE)


def test_nothing_is_found_where_all_pictures_are_left_out():
    assert found(cells(0)) == {}


def test_measures_are_those_of_the_decoded_pixels():
    tall = np.zeros((30, 20, 3), np.uint8)
    tall[:15] = (200, 100, 50)
    measures = measure([record("tall", tall), record("cell", CELLS[0])])
    luma = cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY).astype(float)
    assert measures.width.tolist() == [20, 24]
    assert measures.height.tolist() == [30, 24]
    assert measures.mean[0] == pytest.approx(luma.mean())
    assert measures.std[0] == pytest.approx(luma.std())
    assert measures.colour[0] == pytest.approx(75)
    laplacian = cv2.Laplacian(luma, cv2.CV_64F)
    assert measures.sharpness[0] == pytest.approx(laplacian.var(), rel=1e-5)
    by_channel = measures.histogram.reshape(2, 3, BINS)
    np.testing.assert_allclose(by_channel.sum(-1), 1, rtol=1e-5)
    assert by_channel[0, 0, 200 * BINS // 256] == pytest.approx(0.5)
    assert measures.file_sha256[1].decode() == hashlib.sha256(png(CELLS[0])).hexdigest()


def test_the_pixels_hash_is_of_what_is_seen_and_not_of_the_file():
    packed = cv2.imencode(".png", CELLS[0][..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 0])[1]
    turned_shape = CELLS[0].reshape(12, 48, 3)
    records = [
        record("a", CELLS[0]),
        Record("b", 0, packed.tobytes),
        record("c", turned_shape),
    ]
    measures = measure(records)
    assert len(set(measures.file_sha256)) == 3
    assert measures.pixel_sha256[0] == measures.pixel_sha256[1] != measures.pixel_sha256[2]


def test_what_cannot_be_decoded_is_marked():
    def gone():
        raise FileNotFoundError("No such file: gone.png")

    records = [record("a", CELLS[0]), Record("b", 0, bytes), Record("c", 0, gone)]
    assert measure(records).fault.tolist() == ["", "empty file", "No such file: gone.png"]


def test_any_number_of_threads_measures_the_same():
    one, many = (measure(cells(), threads) for threads in (1, 5))
    for name in ("pixel_sha256", "perceptual", "sharpness", "histogram", "thumbnail"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


def test_honest_cells_are_nothing_remarkable():
    assert found([record(f"{i}", cell, i % 2) for i, cell in enumerate(CELLS)]) == {}


def test_equal_pixels_are_duplicates_and_under_two_labels_conflicts():
    extra = [
        record("same0", CELLS[0], 0),
        record("other1", CELLS[1], 0),  # cell1 has label 1
        record("again1", CELLS[1], 1),
    ]
    assert found(cells() + extra) == {
        "conflicts": (("cell1", "other1", "again1"),),
        "duplicates": (("cell0", "same0"),),
    }


def test_many_copies_are_no_cell_whatever_their_labels():
    memes = [record(f"meme{i}", CELLS[30], 0) for i in range(4)]
    mixed = [record(f"mixed{i}", CELLS[31], i % 2) for i in range(4)]
    kinds = found(cells() + memes + mixed, max_copies=3)
    assert set(kinds) == {"copies", "conflicts"}
    assert [len(cluster) for cluster in kinds["copies"]] == [4, 4]
    assert [cluster[0] for cluster in kinds["conflicts"]] == ["mixed0"]
    assert set(found(cells() + memes, max_copies=4)) == {"duplicates"}


def test_turned_and_lossy_copies_are_near():
    big = [record(f"big{i}", cell, 0) for i, cell in enumerate(blobs(8, seed=1, size=96))]
    lossy = jpeg("lossy", blobs(8, seed=1, size=96)[2], 90)
    turned = record("turned", np.rot90(blobs(8, seed=1, size=96)[5]))
    assert found([*big, lossy, turned]) == {"near": (("big2", "lossy"), ("big5", "turned"))}


def test_blank_tiny_odd_and_grey_pictures_are_found():
    grey = CELLS[20].mean(-1, keepdims=True).astype(np.uint8).repeat(3, -1)
    white = np.full((24, 24, 3), 240, np.uint8)
    extra = [
        record("white", white),
        record("tiny", CELLS[21][:12, :12]),
        record("wide", np.tile(CELLS[22], (1, 2, 1))),
        record("huge", cv2.resize(CELLS[23], (96, 96))),
        record("grey", grey),
    ]
    assert found(cells() + extra) == {
        "blank": (("white",),),
        "tiny": (("tiny",),),
        "odd": (("wide",), ("huge",)),
        "grey": (("grey",),),
    }


def test_grey_among_grey_and_size_among_sizes_are_nothing_remarkable():
    grey = [
        record(f"{i}", cell.mean(-1, keepdims=True).astype(np.uint8).repeat(3, -1))
        for i, cell in enumerate(CELLS)
    ]
    assert found(grey) == {}
    sizes = np.geomspace(16, 80, 40).astype(int)
    various = [
        record(f"{i}", cv2.resize(cell, (int(side), int(side))))
        for i, (cell, side) in enumerate(zip(CELLS, sizes, strict=True))
    ]
    assert "odd" not in found(various)


def test_blank_pictures_are_near_to_nothing():
    pale = [record(f"pale{i}", np.full((24, 24, 3), 200 + i, np.uint8)) for i in range(5)]
    assert set(found(cells() + pale)) == {"blank"}
