import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from places import REAL

from bcjax.data.curate import near_duplicates
from bcjax.data.sources import synthetic

PBC96 = REAL / "pbc96"


@pytest.fixture(scope="module")
def cells():
    return [synthetic.draw(i % 8, i // 8, size=96).image for i in range(64)]


def layouts(pixels):
    sides = (pixels, pixels.transpose(1, 0, 2))
    return [np.ascontiguousarray(p[::y, ::x]) for p in sides for y in (1, -1) for x in (1, -1)]


def hashes_of(pictures):
    small = [cv2.resize(pixels, (16, 16), interpolation=cv2.INTER_AREA) for pixels in pictures]
    return near_duplicates.PictureHashes(
        np.array([near_duplicates.perceptual_hash(pixels) for pixels in pictures], np.uint64),
        np.array(small, np.uint8).reshape(-1, 16, 16, 3),
    )


def encoded(pixels, quality):
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(pixels, quality=quality))


def brute_force(hashes, radius):
    turned = near_duplicates.hashes_in_all_layouts(hashes)
    apart = np.bitwise_count(turned[:, None] ^ hashes[None, :, None]).min(2)
    return {tuple(pair) for pair in np.argwhere(np.triu(apart <= radius, 1)).tolist()}


def neighbourhoods(seed, count=120):
    """Hashes in small clouds, so that all distances occur, and each in a layout of its own."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**64, 12, np.uint64)
    hashes = centres[rng.integers(0, len(centres), count)]
    for _ in range(14):
        some = rng.random(count) < 0.4
        hashes[some] ^= np.uint64(1) << rng.integers(0, 64, count, np.uint64)[some]
    return near_duplicates.hashes_in_all_layouts(hashes)[
        np.arange(count), rng.integers(0, 8, count)
    ]


def test_a_hash_can_be_turned_like_its_picture(cells):
    for pixels in cells[:16]:
        turned = near_duplicates.hashes_in_all_layouts(
            np.array([near_duplicates.perceptual_hash(pixels)])
        )[0]
        for layout in layouts(pixels):
            assert np.bitwise_count(turned ^ near_duplicates.perceptual_hash(layout)).min() <= 2


def test_the_first_layout_is_the_picture_as_it_lies():
    hashes = np.array([0, 1, 2**63, 2**64 - 1], np.uint64)
    np.testing.assert_array_equal(near_duplicates.hashes_in_all_layouts(hashes)[:, 0], hashes)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32), radius=st.integers(0, 11))
def test_the_search_finds_what_comparing_all_pairs_finds(seed, radius):
    hashes = neighbourhoods(seed)
    _, first = np.unique(near_duplicates.hashes_in_all_layouts(hashes).min(1), return_index=True)
    different = hashes[np.sort(first)]
    found = near_duplicates.pairs_within_radius(different, radius)
    assert {tuple(pair) for pair in found.tolist()} == brute_force(different, radius)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32), flips=st.integers(1, 20), crowd=st.integers(1, 40))
def test_crowded_buckets_are_searched_without_loss(seed, flips, crowd):
    rng = np.random.default_rng(seed)
    cloud = np.full(150, rng.integers(0, 2**64, 1, np.uint64))  # share many keys
    for _ in range(flips):
        cloud ^= np.uint64(1) << rng.integers(0, 64, len(cloud), np.uint64)
    hashes = np.unique(np.concatenate([cloud, neighbourhoods(seed)]))
    _, first = np.unique(near_duplicates.hashes_in_all_layouts(hashes).min(1), return_index=True)
    different = hashes[np.sort(first)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(near_duplicates, "_CROWD", crowd)
        found = near_duplicates.pairs_within_radius(different, 7)
    assert {tuple(pair) for pair in found.tolist()} == brute_force(different, 7)


@settings(max_examples=20)
@given(
    radius=st.integers(0, 11),
    parts=st.sampled_from([1, 2]),
    changed=st.sets(st.integers(0, 63), max_size=11),
)
def test_some_key_holds_none_of_as_many_bits_as_may_differ(radius, parts, changed):
    keys = near_duplicates._keys(radius, parts)
    differing = sum(1 << bit for bit in [*changed][:radius])
    assert (np.uint64(differing) & keys == 0).any()
    twins = np.array([8 * v + u for u in range(8) for v in range(8)])
    bits = np.unpackbits(keys.astype(">u8")[:, None].view(np.uint8), axis=1)
    np.testing.assert_array_equal(bits, bits[:, twins])  # the same in a transposed picture


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32), share=st.floats(0, 1))
def test_what_is_similar_is_known_of_any_part(seed, share):
    hashes = neighbourhoods(seed)
    hashes = np.concatenate([hashes, hashes[::3]])
    stays = np.random.default_rng(seed).random(len(hashes)) < share
    part = near_duplicates.similar_hashes(hashes).of(stays)
    np.testing.assert_array_equal(
        part.pairs(np.arange(stays.sum())), near_duplicates.pairs_within_radius(hashes[stays], 7)
    )


@pytest.mark.parametrize("radius", [0, 5])
def test_equal_hashes_link_all_that_are_near(radius):
    hashes = neighbourhoods(3)
    doubled = np.concatenate([hashes, near_duplicates.hashes_in_all_layouts(hashes)[:, 5]])
    pairs = np.array(sorted(brute_force(doubled, radius)))
    linked = near_duplicates.connected_labels(len(doubled), pairs)
    np.testing.assert_array_equal(
        near_duplicates.connected_labels(
            len(doubled), near_duplicates.pairs_within_radius(doubled, radius)
        ),
        linked,
    )


def test_candidates_come_in_blocks_without_loss(monkeypatch):
    hashes = neighbourhoods(4)
    whole = near_duplicates.pairs_within_radius(hashes, 7)
    monkeypatch.setattr(near_duplicates, "_AT_ONCE", 8)
    np.testing.assert_array_equal(near_duplicates.pairs_within_radius(hashes, 7), whole)


def test_few_of_all_pairs_are_compared(monkeypatch):
    compared, mates = [], near_duplicates._bucket_mates

    def counted(*bucket):
        for left, right in mates(*bucket):
            compared.append(len(left))
            yield left, right

    monkeypatch.setattr(near_duplicates, "_bucket_mates", counted)
    count = 4096
    near_duplicates.pairs_within_radius(
        np.random.default_rng(0).integers(0, 2**64, count, np.uint64), 7
    )
    # From both ends of a pair, in each of 8 layouts.
    assert 0 < sum(compared) < 0.01 * 8 * count**2


def test_the_same_picture_many_times_over_is_no_quadratic_matter():
    hashes = np.full(100_000, 12345, np.uint64)
    pairs = near_duplicates.pairs_within_radius(hashes, 7)  # all with all would be 5,000,000,000
    np.testing.assert_array_equal(pairs, [(0, i) for i in range(1, len(hashes))])


@pytest.mark.parametrize("radius", [-1, 12])
def test_a_radius_out_of_range_is_refused(radius):
    with pytest.raises(ValueError, match=f"radius is {radius}"):
        near_duplicates.pairs_within_radius(np.zeros(2, np.uint64), radius)


def test_copies_are_found_and_nothing_else(cells):
    copies = [
        cells[0],
        encoded(cells[1], 50),
        np.ascontiguousarray(cells[2][:, ::-1]),
        np.ascontiguousarray(np.rot90(cells[3])),
        cv2.resize(cells[4], (48, 48), interpolation=cv2.INTER_AREA),
        cv2.resize(cells[5], (200, 200), interpolation=cv2.INTER_CUBIC),
        cv2.convertScaleAbs(cells[6], alpha=0.95),
        encoded(layouts(cells[7])[6], 60),
    ]
    found = near_duplicates.find_near_duplicates(hashes_of(cells + copies))
    np.testing.assert_array_equal(found, [(i, len(cells) + i) for i in range(len(copies))])


def test_blank_pictures_are_alike_in_their_own_colour_only():
    noise = np.random.default_rng(0).normal(0, 1, (2, 96, 96, 3))
    pictures = [np.clip(level + n, 0, 255).astype(np.uint8) for level in (60, 250) for n in noise]
    pairs = near_duplicates.find_near_duplicates(hashes_of(pictures))
    assert pairs.tolist() == [[0, 1], [2, 3]]


def test_thumbnails_tell_pictures_of_one_hash_apart(cells):
    small = np.stack([cv2.resize(c, (16, 16), interpolation=cv2.INTER_AREA) for c in cells[:3]])
    thumbnails = small[[0, 1, 2, 1, 2, 0]]
    pairs = near_duplicates.find_near_duplicates(
        near_duplicates.PictureHashes(np.full(6, 7, np.uint64), thumbnails)
    )
    assert pairs.tolist() == [[0, 5], [1, 3], [2, 4]]


def test_no_pictures_have_no_duplicates():
    assert near_duplicates.find_near_duplicates(hashes_of([])).shape == (0, 2)


def test_clusters_are_numbered_in_order():
    pairs = np.array([[3, 5], [1, 4], [1, 3]])
    assert near_duplicates.connected_labels(6, pairs).tolist() == [0, 1, 2, 1, 1, 1]


@pytest.mark.skipif(not PBC96.exists(), reason="real data: no ../shared/data/pbc96")
def test_of_real_cells_only_the_same_are_near():
    paths = sorted(PBC96.glob("*/*.jpg"))[::6]
    files = [path.read_bytes() for path in paths]
    copies = [encoded(simplejpeg.decode_jpeg(file), 40)[::-1] for file in files[:100]]
    pairs = near_duplicates.find_near_duplicates(
        hashes_of([*map(simplejpeg.decode_jpeg, files), *copies])
    )
    found = {tuple(pair) for pair in pairs.tolist()}
    expected = {(i, len(files) + i) for i in range(len(copies))}
    assert expected <= found
    assert all(files[i] == files[j] for i, j in found - expected)


def test_coarse_thumbnails_never_tell_apart_what_fine_ones_do_not(cells):
    small = np.stack([cv2.resize(c, (16, 16), interpolation=cv2.INTER_AREA) for c in cells])
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 14, (64, 1, 1, 1)) * rng.normal(0, 1, small.shape)
    noisy = np.clip(small + rng.uniform(-28, 28, (64, 1, 1, 1)) + noise, 0, 255).astype(np.uint8)
    turned = np.ascontiguousarray(noisy[:, ::-1].swapaxes(1, 2))
    agree = near_duplicates._agree(small, turned, 5.0, near_duplicates._BRIGHTER)
    assert 8 < agree.sum() < 56
    np.testing.assert_array_equal(near_duplicates._thumbnails_agree(small, turned, 5.0), agree)
