import itertools

import cv2
import numpy as np
import pytest
import simplejpeg
from places import REAL

from bcjax.data.curate import augmented_copies
from bcjax.data.curate.augmented_copies import find_landmarks, mirror_descriptors, visual_words
from bcjax.data.sources import synthetic

TRAIN = REAL / "bccd4/TRAIN"
SIZE = 160

# Pictures of bccd4 by their originals in BCCD, as benchmarks/originals.py looked them up.
KNOWN = {
    "EOSINOPHIL": """
        _71_1602 _33_9603 _30_9247 _6_4979 _10_9414
        _10_4909 _16_4301 _10_2291 _20_1949 _74_9480
        _28_1112 _71_1610 _35_161 _69_9340 _22_6707
        _54_6660 _9_4425 _38_1312 _59_2145 _46_5993""",
    "LYMPHOCYTE": """
        _6_1005 _13_351 _18_7713 _15_2958 _23_6189
        _2_5931 _0_2667 _2_5139 _25_8587 _10_1840
        _14_4346 _22_809 _16_5463 _6_8984 _16_1953
        _15_1445 _19_9121 _2_3472 _23_7236 _12_2835""",
    "MONOCYTE": """
        _0_4563 _2_911 _13_5194 _7_4735 _9_5544
        _15_2474 _7_1835 _7_3279 _2_3523 _9_432
        _3_917 _12_6969 _8_4505 _2_1359 _12_8780
        _8_6424 _3_9577 _15_4883 _9_5232 _4_4956""",
    "NEUTROPHIL": """
        _127_8007 _90_2243 _118_3351 _132_7559 _26_5915
        _8_3340 _104_7566 _60_1569 _113_2705 _131_517
        _98_5078 _111_1908 _24_6772 _76_8215 _59_2192
        _54_8123 _145_3360 _39_4115 _65_7745 _151_2737""",
}


@pytest.fixture(scope="module")
def originals():
    return [synthetic.draw(i % 8, i // 8, size=SIZE).image for i in range(16)]


def moved(pixels, rng, border=cv2.BORDER_CONSTANT):
    """Turned by any angle, sheared, scaled, shifted, mirrored or not, and encoded again."""
    turn = cv2.getRotationMatrix2D(
        (SIZE / 2, SIZE / 2), rng.uniform(0, 360), rng.uniform(0.85, 1.2)
    )
    turn[:, :2] @= [[1, rng.uniform(-0.15, 0.15)], [0, 1]]
    turn[:, 2] += rng.uniform(-12, 12, 2)
    if rng.random() < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    out = cv2.warpAffine(pixels, turn, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=border)
    out = cv2.convertScaleAbs(out, alpha=rng.uniform(0.85, 1.1))
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(out, quality=int(rng.integers(60, 95))))


def shuffled(groups, seed=0):
    """Pictures of all groups mixed, and the group of each."""
    truth = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    order = np.random.default_rng(seed).permutation(len(truth))
    every = list(itertools.chain.from_iterable(groups))
    return [every[i] for i in order], truth[order]


def same_partition(labels, truth):
    return len(set(zip(labels, truth, strict=True))) == len(set(labels)) == len(set(truth))


@pytest.mark.parametrize("border", ["CONSTANT", "REFLECT", "REPLICATE"])
def test_moved_copies_are_grouped_by_their_original(originals, border):
    rng = np.random.default_rng(1)
    mode = getattr(cv2, f"BORDER_{border}")
    pictures, truth = shuffled([[moved(o, rng, mode) for _ in range(4)] for o in originals[:8]])
    labels = augmented_copies.group_copies(pictures)
    assert labels.dtype == np.int64
    assert same_partition(labels, truth)


def test_different_cells_stay_apart_and_labels_count_up(originals):
    assert augmented_copies.group_copies(originals).tolist() == list(range(len(originals)))


def test_a_copy_may_have_another_size_and_shape(originals):
    big = cv2.resize(originals[0], (400, 400), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(originals[1], (110, 110), interpolation=cv2.INTER_AREA)
    cut = np.ascontiguousarray(originals[2][:, 30:])
    labels = augmented_copies.group_copies([*originals[:3], big, small, cut])
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_what_has_no_landmarks_has_no_copies(originals):
    rng = np.random.default_rng(0)
    odd = [
        np.zeros((96, 96, 3), np.uint8),
        np.full((96, 96, 3), 230, np.uint8),
        np.full((96, 96, 3), 230, np.uint8),
        np.full((1, 1, 3), 9, np.uint8),
        rng.integers(0, 255, (1, 3000, 3), np.uint8),
        rng.integers(0, 255, (3000, 2, 3), np.uint8),
    ]
    assert len(set(augmented_copies.group_copies([*odd, originals[0]]))) == len(odd) + 1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_few_pictures_are_no_special_matter(originals, count):
    assert augmented_copies.group_copies(originals[:count]).tolist() == list(range(count))


def test_black_frames_make_no_copies(originals):
    """All turned by one angle and framed alike: corners at the same places in every picture."""
    turn = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), 25, 0.8)
    framed = [cv2.warpAffine(pixels, turn, (SIZE, SIZE)) for pixels in originals[:12]]
    assert len(set(augmented_copies.group_copies(framed))) == len(framed)


def test_no_landmark_is_sought_at_a_black_frame(originals):
    framed = originals[0].copy()
    framed[:, : SIZE // 2] = 0
    points = find_landmarks(framed).points
    assert len(points) > 10
    assert points[:, 0].min() > 30  # of 60


def test_a_stamp_on_every_picture_makes_no_copies(originals):
    """A scale bar, a date: landmarks that agree to a pixel between pictures that do not."""
    bits = np.random.default_rng(0).integers(0, 2, (9, 9, 3), np.uint8)
    stamp = cv2.resize(60 + 150 * bits, (54, 54), interpolation=cv2.INTER_AREA)
    stamped = [pixels.copy() for pixels in originals[:12]]
    for pixels in stamped:
        pixels[-54:, -54:] = stamp
    assert len(set(augmented_copies.group_copies(stamped))) == len(stamped)


def test_each_picture_is_decoded_once_and_threads_change_nothing(originals):
    rng = np.random.default_rng(2)
    pictures, _ = shuffled([[moved(o, rng) for _ in range(3)] for o in originals[:4]])
    asked = []

    class Lazy:
        def __len__(self):
            return len(pictures)

        def __getitem__(self, index):
            asked.append(index)
            return pictures[index]

    labels = augmented_copies.group_copies(Lazy(), threads=3)
    assert sorted(asked) == list(range(len(pictures)))
    np.testing.assert_array_equal(labels, augmented_copies.group_copies(pictures, threads=1))


def test_two_photographs_of_one_place_are_joined_however_many_copies_they_have(originals):
    """The likest of each copy are copies of its own photograph: a second look is needed."""
    rng = np.random.default_rng(3)
    scene = synthetic.draw(2, 5, size=260).image
    photographs = [scene[:SIZE, :SIZE], scene[80 : 80 + SIZE, 20 : 20 + SIZE]]
    groups = [[moved(np.ascontiguousarray(p), rng) for _ in range(14)] for p in photographs]
    pictures, truth = shuffled([*groups, *([o] for o in originals[:10])])
    found = augmented_copies.find_copies(pictures, neighbours=3)
    assert same_partition(found.originals, truth)
    assert same_partition(found.places, np.maximum(truth, 1))


def test_the_mirror_images_descriptors_are_known_without_looking(originals):
    here = find_landmarks(originals[4])
    there = find_landmarks(np.ascontiguousarray(originals[4][:, ::-1]))
    points = there.points * [-1, 1] + [there.grey.shape[1] - 1, 0]
    apart = np.linalg.norm(here.points[:, None] - points[None], axis=2)
    turned = mirror_descriptors(there.descriptors).astype(int)
    distance = np.linalg.norm(here.descriptors[:, None].astype(int) - turned[None], axis=2)
    assert np.mean(apart[np.arange(len(here.points)), distance.argmin(1)] < 1) > 0.8
    np.testing.assert_array_equal(
        mirror_descriptors(mirror_descriptors(here.descriptors)), here.descriptors
    )


def test_words_are_blind_to_mirroring(originals):
    marks = [find_landmarks(pixels) for pixels in originals[:6]]
    flipped = [mark._replace(descriptors=mirror_descriptors(mark.descriptors)) for mark in marks]
    counts = visual_words([*marks, *flipped])
    np.testing.assert_allclose(counts[:6], counts[6:], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(counts, axis=1), 1, atol=1e-5)


@pytest.mark.skipif(not TRAIN.exists(), reason="real data: no ../shared/data/bccd4")
def test_real_copies_are_grouped_by_their_original():
    paths = [TRAIN / kind / f"{name}.jpeg" for kind in KNOWN for name in KNOWN[kind].split()]
    truth = np.repeat(np.arange(len(paths) // 5), 5)
    pictures = [simplejpeg.decode_jpeg(path.read_bytes()) for path in paths]
    assert same_partition(augmented_copies.group_copies(pictures), truth)
