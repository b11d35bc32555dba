"""Pictures that are no cells are found by their look, and rare cells are left in peace."""

import json
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from blobs import blobs, pictures, record, source
from picture_sources import settings

from bcjax.data.curate import curation, findings
from bcjax.data.curate.unusual_pictures import log_distances
from bcjax.data.decode import decode
from bcjax.data.records import Record

SHARED = Path(__file__).parents[3] / "shared" / "data"
PHOTOGRAPHS = SHARED / "imagenet_sample"
SETS = {
    "pbc96": "*/*.jpg",
    "pbc3200": "*/*.jpg",
    "wbc_jtsc": "*/*.png",
    "bccd": "JPEGImages/*.jpg",
    "bccd4": "TRAIN/*/*.jpeg",
    "chula_fields": "images/*.jpg",
}
CELLS = blobs(100)


def scenes(count, seed, size=24):
    """Everyday pictures as cheap as can be: clouds of any colours, with a 1/f spectrum."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    noise = np.fft.fft2(rng.normal(size=(count, 3, size, size))) / (frequency + 1 / size)
    clouds = np.fft.ifft2(noise).real
    clouds /= clouds.std((1, 2, 3), keepdims=True)
    levels = rng.uniform(0, 255, (count, 3, 1, 1)) + 60 * clouds
    return levels.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def odd(records):
    """Ids of the pictures that are found odd, the most unusual first."""
    found = findings.find_remarkable(pictures(records), max_copies=20)
    return [id_ for each in found if each.kind == "odd" for (id_,) in each.clusters]


def cells(count=100):
    return [record(f"cell{i}", cell, i % 2) for i, cell in enumerate(CELLS[:count])]


def test_everyday_pictures_among_cells_are_found_and_no_cell_is():
    everyday = [record(f"scene{i}", scene, i % 2) for i, scene in enumerate(scenes(10, 0))]
    found = odd(cells() + everyday)
    assert len(found) >= 8
    assert all(id_.startswith("scene") for id_ in found)


def test_copies_do_not_make_a_picture_usual():
    scene = scenes(1, 1)[0]
    copies = [record(f"copy{i}", scene, i % 2) for i in range(6)]
    assert sorted(odd(cells() + copies)) == [f"copy{i}" for i in range(6)]


def test_cells_of_another_stain_are_usual():
    stained = blobs(8, seed=5)[..., [1, 0, 2]] // 2 + np.array([20, 90, 60], np.uint8)
    assert odd(cells() + [record(f"green{i}", cell) for i, cell in enumerate(stained)]) == []


def test_among_few_pictures_none_is_unusual():
    assert odd([*cells(12), record("scene", scenes(1, 2)[0])]) == []


def test_odd_pictures_are_left_out_only_if_asked():
    everyday = [record(f"scene{i}", scene, i % 2) for i, scene in enumerate(scenes(5, 3))]
    made = source(cells() + everyday)
    assert curation.curate(made, settings()).removed == {}
    removed = curation.curate(made, settings(drop=("odd",))).removed
    assert removed == {f"scene{i}": "odd" for i in range(5)}


def test_the_flag_of_a_finding_leaves_its_pictures_out():
    everyday = [record(f"it's {i}, [1]", each, i % 2) for i, each in enumerate(scenes(3, 4))]
    made = source(cells() + everyday)
    (found,) = curation.curate(made, settings()).found
    (argument,) = shlex.split(found.exclusion)
    exclude = tuple(json.loads(argument.removeprefix("--config.data.exclude=")))
    removed = curation.curate(made, settings(exclude=exclude)).removed
    assert set(removed) == {id_ for cluster in found.clusters for id_ in cluster}


def test_a_lone_point_lies_far_and_a_pair_of_clusters_does_not():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, (50, 4)), rng.normal(50, 1, (50, 4))])
    values[7] += 9
    distances = log_distances(values)
    assert distances.argmax() == 7
    assert np.delete(distances, 7).max() < np.log(4) < distances[7]


def real_cells(name, count, seed):
    if not (SHARED / name).exists():
        pytest.skip(f"the real pictures {name} are not in ../shared/data")
    paths = sorted((SHARED / name).glob(SETS[name]))
    chosen = np.random.default_rng(seed).permutation(len(paths))[:count]
    return [
        Record(f"cell/{paths[i].name}", k % 2, paths[i].read_bytes) for k, i in enumerate(chosen)
    ]


def photographs(count, seed, like):
    """Records of everyday photographs, made as large as a cell, so that no size betrays them."""
    if not PHOTOGRAPHS.exists():
        pytest.skip("the real pictures imagenet_sample are not in ../shared/data")
    paths = sorted(PHOTOGRAPHS.glob("*.jpg"))
    height, width = decode(like.read()).shape[:2]
    rng = np.random.default_rng(seed)
    return [
        record(
            f"photo/{paths[i].name}",
            cv2.resize(
                decode(paths[i].read_bytes()), (width, height), interpolation=cv2.INTER_AREA
            ),
            int(rng.integers(2)),
        )
        for i in rng.permutation(len(paths))[:count]
    ]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "chula_fields" else [])
        for name in SETS
    ],
)
def test_real_photographs_among_real_cells_are_found(name):
    own = real_cells(name, 300, seed=0)
    found = odd(own + photographs(40, 0, like=own[0]))
    assert sum(id_.startswith("photo") for id_ in found) >= 36
    assert sum(id_.startswith("cell") for id_ in found) < 0.02 * len(own)
    assert len(odd(own)) < 0.02 * len(own)


@pytest.mark.parametrize(("name", "other"), [("pbc96", "wbc_jtsc"), ("wbc_jtsc", "pbc96")])
def test_real_cells_of_another_laboratory_are_mostly_usual(name, other):
    others = [Record(f"other{i}", 0, r.read) for i, r in enumerate(real_cells(other, 20, seed=1))]
    found = odd(real_cells(name, 300, seed=1) + others)
    by_size = 0 if name == "pbc96" else len(others)
    assert sum(id_.startswith("other") for id_ in found) <= 5 + by_size
