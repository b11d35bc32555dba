"""What happens to a picture when it is decoded, and that it happens alike wherever it is."""

import io
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bcjax import config as configs
from bcjax.data import prepare, synthetic
from bcjax.data.decode import decode
from bcjax.data.entry import Entry, entry_of
from bcjax.data.masking import Mask
from bcjax.data.stain import Macenko, Reinhard
from bcjax.data.store import open_store
from bcjax.engine import network
from bcjax.evaluation import predictor
from bcjax.runtime.errors import UserError

RNG = np.random.default_rng(0)
CELL = synthetic.draw(2, 0, size=256).image
STAINED = Mask((150, 36, 40), (244, 255, 255))
MODES = ("squash", "crop", "pad")
sides = st.integers(1, 70)


def encode(pixels, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def noise(height, width):
    return np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3), "u1")


BLANK = encode(np.full((9, 9, 3), 80, "u1"))


def data(**changes):
    config = configs.default()
    config.data.update(changes)
    return config.data


# Of any mode


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(MODES), height=sides, width=sides, size=sides, value=st.integers(0, 255)
)
def test_a_constant_stays_so_at_any_size(mode, height, width, size, value):
    colour = (value, 255 - value, 7)
    plain = np.full((height, width, 3), colour, np.uint8)
    entered = Entry(size, mode, pad_colour=colour)(encode(plain))
    assert entered.shape == (size, size, 3)
    assert (entered == colour).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_that_has_the_size_is_left_alone(mode):
    pixels = noise(32, 32)
    np.testing.assert_array_equal(Entry(32, mode)(encode(pixels)), pixels)


@settings(max_examples=40, deadline=None)
@given(mode=st.sampled_from(["squash", "pad"]), height=sides, width=sides, data=st.data())
def test_shrinking_averages_areas_so_it_keeps_the_mean(mode, height, width, data):
    size = data.draw(st.integers(1, min(height, width)))
    pixels = noise(height, width)
    entered = Entry(size, mode, pad_colour=(0, 0, 0))(encode(pixels))
    of = 1.0
    if mode == "pad":
        of = max(1, round(size * min(height, width) / max(height, width))) / size
    # Each pixel is rounded once: half a level at most, and all in one direction at worst.
    np.testing.assert_allclose(entered.mean((0, 1)), of * pixels.mean((0, 1)), atol=0.6)


def test_shrinking_by_a_whole_number_is_the_mean_of_each_block():
    pixels = noise(24, 36)
    blocks = pixels.reshape(12, 2, 12, 3, 3).mean((1, 3))
    np.testing.assert_allclose(Entry(12)(encode(pixels)), blocks, atol=0.51)


@pytest.mark.parametrize("mode", MODES)
def test_enlarging_stays_between_the_neighbours(mode):
    edge = np.zeros((4, 4, 3), np.uint8)
    edge[:, 2:] = 200
    entered = Entry(16, mode)(encode(edge))
    assert (np.diff(entered[..., 0].astype(int), axis=1) >= 0).all()
    assert (entered[:, 0] == 0).all()
    assert (entered[:, -1] == 200).all()


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size", [28, 64, 96, 224])
@pytest.mark.parametrize("mode", MODES)
def test_the_reduced_jpeg_looks_like_the_full_one(mode, size, subsampling):
    encoded = encode(CELL, "JPEG", quality=95, subsampling=subsampling)
    full = cv2.resize(decode(encoded), (size, size), interpolation=cv2.INTER_AREA)
    difference = np.abs(Entry(size, mode)(encoded).astype(int) - full)
    # Of 255 levels; the most at 28, which comes by way of 32 and so is averaged twice.
    assert difference.mean() < 3
    assert np.quantile(difference, 0.99) <= 14


# Squash and crop


def as_before(encoded, size, crop):
    """Squash (`crop` 0) and crop, as they were written before there was an `Entry`."""
    shorter = round(size / crop) if crop else size
    pixels = decode(encoded, at_least=shorter)
    height, width = pixels.shape[:2]
    shape = (size, size)
    if crop:
        scale = shorter / min(height, width)
        shape = (max(shorter, int(height * scale)), max(shorter, int(width * scale)))
    if (height, width) != shape:
        method = cv2.INTER_AREA if min(height, width) >= shorter else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, shape[::-1], interpolation=method)
    top, left = ((side - size) // 2 for side in shape)
    return pixels[top : top + size, left : left + size]


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    size=st.integers(8, 96),
    crop=st.just(0.0) | st.floats(0.25, 1),
    kind=st.sampled_from(["PNG", "JPEG"]),
)
def test_squash_and_crop_give_the_bits_that_runs_were_trained_on(height, width, size, crop, kind):
    encoded = encode(noise(height, width), kind)
    entry = Entry(size, "crop", crop) if crop else Entry(size)
    np.testing.assert_array_equal(entry(encoded), as_before(encoded, size, crop))


def test_a_crop_is_the_middle_of_the_resized_picture():
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 48:80] = 200  # the middle 32 columns
    cropped = Entry(28, "crop", 0.875)(encode(pixels))
    assert cropped.shape == (28, 28, 3)
    # 64 x 128 becomes 32 x 64, of whose middle 28 columns the stripe takes 16.
    assert (cropped[:, 6:22] == 200).all()
    assert not cropped[:, :6].any()
    assert not cropped[:, 22:].any()


@pytest.mark.parametrize("mode", ["crop", "pad"])
def test_of_a_square_nothing_is_cut_off_nor_added(mode):
    encoded = encode(noise(30, 30))
    np.testing.assert_array_equal(Entry(12, mode)(encoded), Entry(12)(encoded))


# Pad


def test_padding_keeps_the_whole_picture_in_its_shape_in_the_middle():
    pixels = noise(24, 48)
    padded = Entry(24, "pad", pad_colour=(1, 2, 3))(encode(pixels))
    blocks = pixels.reshape(12, 2, 24, 2, 3).mean((1, 3))
    np.testing.assert_allclose(padded[6:18], blocks, atol=0.51)
    assert (padded[:6] == (1, 2, 3)).all()
    assert (padded[18:] == (1, 2, 3)).all()


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), size=st.integers(8, 64))
def test_padding_adds_bands_as_wide_on_both_sides(height, width, size):
    padded = Entry(size, "pad", pad_colour=(0, 0, 255))(
        encode(np.full((height, width, 3), 9, "u1"))
    )
    for axis, (side, other) in enumerate(((height, width), (width, height))):
        held = (padded[..., 0] == 9).any(1 - axis)
        assert held.sum() == max(1, round(size * side / max(side, other)))
        first = int(held.argmax())
        assert first == (size - held.sum()) // 2
        assert held[first : first + held.sum()].all()


# Grey, mask and stain


@pytest.mark.parametrize("mode", MODES)
def test_grey_is_the_luma_in_all_three_channels(mode):
    pixels = noise(40, 40)
    grey = Entry(20, mode, grey=True)(encode(pixels))
    luma = Entry(20, mode)(encode(pixels)) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey, np.repeat(luma[..., None], 3, -1), atol=0.51)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_mask_and_stain_see_the_picture_as_it_was_taken_in_this_order(kind):
    encoded = encode(CELL, kind)
    pixels = Macenko()(STAINED(decode(encoded)))
    expected = cv2.resize(pixels, (40, 40), interpolation=cv2.INTER_AREA)
    entry = Entry(40, mask=STAINED, stain=Macenko())
    np.testing.assert_array_equal(entry(encoded), expected)
    assert (expected != Entry(40, mask=STAINED)(encoded)).any()
    assert (expected != Entry(40, stain=Macenko())(encoded)).any()


def test_the_colour_of_the_padding_is_neither_masked_nor_normalised():
    wide = encode(np.hstack([CELL] * 2))
    padded = Entry(32, "pad", pad_colour=(30, 200, 90), mask=STAINED, stain=Reinhard())(wide)
    assert (padded[:8] == (30, 200, 90)).all()


# From the config


def test_the_default_config_squashes():
    assert entry_of(configs.default().data) == Entry(96)


def test_every_key_is_heeded():
    entry = entry_of(
        data(
            image_size=40,
            resize="pad",
            crop_fraction=0.5,
            pad_colour=(1, 2, 3),
            grey=True,
            mask=True,
            mask_low=(4, 5, 6),
            mask_high=(7, 8, 9),
            mask_background=(10, 11, 12),
            stain="reinhard",
        )
    )
    mask = Mask((4, 5, 6), (7, 8, 9), (10, 11, 12))
    assert entry == Entry(40, "pad", 0.5, (1, 2, 3), True, mask, Reinhard())


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("method", ["reinhard", "macenko"])
def test_the_stain_is_that_of_the_reference(tmp_path, method, masked):
    path = tmp_path / "reference.png"
    path.write_bytes(encode(CELL))
    entry = entry_of(data(stain=method, stain_reference=str(path), mask=masked))
    seen = entry.mask(CELL) if masked else CELL
    assert entry.stain == {"reinhard": Reinhard, "macenko": Macenko}[method].of(seen)
    assert pickle.loads(pickle.dumps(entry)) == entry


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"hello", "not a picture"), (BLANK, "no stain")],
)
def test_a_reference_that_is_none_is_named(tmp_path, content, reason):
    path = tmp_path / "reference.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as refused:
        entry_of(data(stain="macenko", stain_reference=str(path)))
    assert str(path) in str(refused.value)


def test_the_reference_is_found_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "reference.png").write_bytes(encode(CELL))
    config = configs.default()
    config.data.update(stain="macenko", stain_reference="reference.png")
    monkeypatch.chdir(tmp_path)
    config = network.resolve(config)
    monkeypatch.chdir(Path(tmp_path.anchor))
    assert entry_of(config.data).stain == Macenko.of(CELL)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"resize": "stretch"}, "config.data.resize is 'stretch'"),
        ({"pad_colour": (0, 0)}, "config.data.pad_colour"),
        ({"mask_background": (0, 0, 256)}, "config.data.mask_background"),
        ({"mask_low": (0, 0.5, 0)}, "config.data.mask_low"),
        ({"mask_low": (250, 0, 0), "mask_high": (240, 255, 255)}, "nothing is between"),
        ({"stain": "vahadane"}, "reinhard, macenko"),
        ({"stain_reference": "cell.png"}, "set config.data.stain to"),
        ({"stain": "macenko", "stain_reference": "no/such.png"}, "'no/such.png'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(changes, named):
    config = configs.default()
    config.data.update(changes)
    with pytest.raises(UserError, match=named):
        configs.check(config)


# Wherever it is


class Mirror(nn.Module):
    """Its logits are the pixels."""

    def __call__(self, images, train=False):
        return images.reshape(len(images), -1)


def test_predict_sees_the_pictures_that_the_stores_hold(monkeypatch, tmp_path):
    config = configs.default()
    config.model.update(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    config.data.update(image_size=8, resize="pad", pad_colour=(9, 90, 200), mask=True)
    config.data.update(stain="reinhard", stain_reference=str(tmp_path / "reference.png"))
    (tmp_path / "reference.png").write_bytes(encode(CELL))
    logits = tuple(f"{place:03}" for place in range(8 * 8 * 3))
    mirror = network.Trained(config, logits, Mirror(), {}, 0)
    monkeypatch.setattr(network, "load", lambda *_: mirror)
    source = synthetic.source(40, size=48)
    prepared = prepare.write(source, tmp_path / "set", config.data)
    paths = [tmp_path / f"{i}.jpg" for i in range(3)]
    for path, example in zip(paths, prepared.examples("test")[np.arange(3)], strict=True):
        path.write_bytes(example.image)

    predictions = predictor.load(tmp_path).predict(paths, 4)

    store = open_store(prepared, "test", "device", entry_of(config.data))
    exponential = np.exp(store.arrays["image"][:3].reshape(3, -1) / 255)
    assert not predictions.unreadable
    # A level more or less would change a probability by 4 parts in 1000.
    expected = exponential / exponential.sum(1, keepdims=True)
    np.testing.assert_allclose(predictions.probabilities, expected, rtol=1e-4)
