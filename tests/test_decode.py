"""Whatever is in a file: an upright RGB picture, or BadImageError."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from bcjax.data import synthetic
from bcjax.data.decode import BadImageError, decode, load

RNG = np.random.default_rng(0)
# 24 x 17, smooth enough for JPEG, and nowhere its own mirror image.
PIXELS = cv2.resize(RNG.integers(0, 256, (6, 5, 3), np.uint8), (17, 24))
PICTURE = Image.fromarray(PIXELS)
ALPHA = Image.fromarray(RNG.integers(0, 256, (24, 17), np.uint8))
LOSSLESS = [
    ("PNG", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("WEBP", {"lossless": True, "exact": True}),
]
# Pillow's warnings about what it makes of damaged EXIF.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def encode(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def over_white(encoded):
    """What Pillow reads, laid over white."""
    with Image.open(io.BytesIO(encoded)) as picture:
        paper = Image.new("RGBA", picture.size, "white")
        paper.alpha_composite(picture.convert("RGBA"))
        return np.asarray(paper.convert("RGB"))


def assert_close(one, other, most):
    assert one.shape == other.shape
    assert one.dtype == other.dtype == np.uint8
    assert np.abs(one.astype(int) - other).max() <= most


# Formats and modes


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_lossless_formats_come_back_as_they_were(kind, options):
    np.testing.assert_array_equal(decode(encode(PICTURE, kind, **options)), PIXELS)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}])
def test_jpegs_look_as_they_do_to_pillow(mode, options):
    encoded = encode(PICTURE.convert(mode), "JPEG", **options)
    assert_close(decode(encoded), over_white(encoded), 2)


def modes():
    grey = PICTURE.convert("L")
    palette = PICTURE.quantize(16)
    colour = tuple(int(value) for value in PIXELS[3, 4])
    yield "grey PNG", encode(grey, "PNG")
    yield "grey TIFF", encode(grey, "TIFF")
    yield "grey BMP", encode(grey, "BMP")
    yield "1-bit PNG", encode(PICTURE.convert("1"), "PNG")
    yield "1-bit TIFF", encode(PICTURE.convert("1"), "TIFF")
    yield "palette PNG", encode(palette, "PNG")
    yield "palette TIFF", encode(palette, "TIFF")
    yield "palette PNG with a transparent entry", encode(palette, "PNG", transparency=3)
    yield "RGB PNG with a transparent colour", encode(PICTURE, "PNG", transparency=colour)
    for kind, options in (("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})):
        name = " ".join((kind, *options.values()))
        with_alpha = Image.merge("LA", (grey, ALPHA))
        yield f"grey and alpha {name}", encode(with_alpha, kind, **options)
        with_alpha = Image.merge("RGBA", (*PICTURE.split(), ALPHA))
        yield f"RGBA {name}", encode(with_alpha, kind, **options)
    yield "RGBA WebP", encode(with_alpha, "WEBP", lossless=True, exact=True)
    yield "CMYK TIFF", encode(PICTURE.convert("CMYK"), "TIFF")


@pytest.mark.parametrize("encoded", [pytest.param(e, id=name) for name, e in modes()])
def test_every_mode_becomes_rgb_over_white(encoded):
    assert_close(decode(encoded), over_white(encoded), 1)


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_scaled_to_eight(extension, channels):
    deep = RNG.integers(0, 1 << 16, (9, 7, channels)).astype(np.uint16)
    deep[0, :2] = [[0], [65535]]
    encoded = cv2.imencode(extension, deep[..., ::-1])[1].tobytes()
    expected = np.round(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(decode(encoded), np.broadcast_to(expected, (9, 7, 3)))


def test_floating_point_pictures_are_refused_by_their_type():
    encoded = cv2.imencode(".tiff", np.zeros((4, 4, 3), np.float32))[1].tobytes()
    with pytest.raises(BadImageError, match="float32"):
        decode(encoded)


# EXIF


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), LOSSLESS[0], LOSSLESS[1], LOSSLESS[4]])
def test_every_exif_orientation_is_undone(kind, options, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = encode(PICTURE, kind, exif=exif, **options)
    with Image.open(io.BytesIO(encoded)) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    assert_close(decode(encoded), upright, 2)
    assert decode(encoded).flags.c_contiguous


def test_a_rotated_jpeg_is_loaded_upright_at_reduced_size_too():
    wide = Image.fromarray(np.repeat(np.repeat(PIXELS, 8, 0), 16, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = encode(wide, "JPEG", quality=95, exif=exif)
    assert decode(encoded, at_least=24).shape[0] > decode(encoded, at_least=24).shape[1]
    upright = np.asarray(wide.transpose(Image.Transpose.ROTATE_270))
    expected = cv2.resize(upright, (24, 24), interpolation=cv2.INTER_AREA)
    assert np.abs(load(encoded, 24).astype(int) - expected).mean() < 4


@pytest.mark.parametrize("junk", [b"", b"MM", b"\xff" * 40, b"II*\0\xff\xff\xff\xff"])
def test_damaged_exif_leaves_the_picture_as_it_is_stored(junk):
    encoded = encode(PICTURE, "JPEG", exif=b"Exif\0\0" + junk)
    np.testing.assert_array_equal(decode(encoded), decode(encode(PICTURE, "JPEG")))


# Damage


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), *LOSSLESS])
def test_a_picture_cut_short_anywhere_is_refused(kind, options):
    encoded = encode(PICTURE, kind, **options)
    for length in range(len(encoded)):
        with pytest.raises(BadImageError):
            decode(encoded[:length])


def test_a_cut_jpeg_is_refused_at_reduced_size_too():
    encoded = encode(PICTURE.resize((200, 200)), "JPEG")
    assert decode(encoded, at_least=20).shape == (25, 25, 3)
    for length in (len(encoded) // 2, len(encoded) - 2):
        with pytest.raises(BadImageError, match="damaged JPEG"):
            decode(encoded[:length], at_least=20)


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "empty file"),
        (b"these are no pixels\n" * 20, "not a picture"),
        (b"\xff\xd8\xff" + b"these are no pixels\n" * 20, "damaged JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a picture"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(encoded, reason):
    with pytest.raises(BadImageError, match=reason):
        decode(encoded)


@pytest.mark.parametrize("field", [(18, bytes(4)), (18, b"\xff\xff\xff\x7f"), (22, b"\0\0\0\x70")])
def test_an_absurd_size_in_the_header_is_refused(field):
    place, value = field  # of a BMP's width and height
    encoded = bytearray(encode(PICTURE, "BMP"))
    encoded[place : place + 4] = value
    with pytest.raises(BadImageError, match="not a picture"):
        decode(bytes(encoded))


def is_picture_or_refused(encoded):
    try:
        pixels = decode(encoded)
    except BadImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2:] == (3,)
    assert pixels.size


STARTS = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM", b"GIF89a"]


@settings(max_examples=150, deadline=None)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=300))
def test_random_bytes_are_a_picture_or_refused(start, rest):
    is_picture_or_refused(start + rest)


EXIF = Image.Exif()
EXIF[0x0112] = 6
WHOLE = [
    encode(PICTURE, kind, exif=EXIF, **options)
    for kind, options in (("JPEG", {}), ("PNG", {}), ("TIFF", {}), LOSSLESS[4])
] + [encode(PICTURE, "BMP"), encode(Image.merge("LA", (ALPHA, ALPHA)), "TIFF")]


@settings(max_examples=300, deadline=None)
@given(data=st.data(), whole=st.sampled_from(WHOLE))
def test_damaged_pictures_are_a_picture_or_refused(data, whole):
    damaged = bytearray(whole)
    place = st.integers(0, len(whole) - 1) | st.integers(0, 100)  # headers more often
    for i, byte in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=4)):
        damaged[i] = byte
    is_picture_or_refused(bytes(damaged))


# Reduced decoding, and the square of the wanted size


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    at_least=st.integers(1, 320),
    subsampling=st.sampled_from([0, 1, 2]),
)
def test_reducing_a_jpeg_leaves_no_side_below_what_was_asked_for(
    height, width, at_least, subsampling
):
    encoded = encode(PICTURE.resize((width, height)), "JPEG", subsampling=subsampling)
    reduced = decode(encoded, at_least=at_least).shape
    for before, after in zip((height, width), reduced[:2], strict=True):
        assert min(before, at_least) <= after <= before


def test_a_large_jpeg_is_really_reduced():
    encoded = encode(PICTURE.resize((360, 363)), "JPEG")
    assert decode(encoded, at_least=96).shape == (137, 135, 3)
    assert decode(encoded, at_least=40).shape == (46, 45, 3)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize("size", [28, 64, 96, 224])
def test_the_reduced_jpeg_looks_like_the_full_one(size, subsampling):
    cell = Image.fromarray(synthetic.draw(2, 0, size=256).image)
    encoded = encode(cell, "JPEG", quality=95, subsampling=f"4:{subsampling[1]}:{subsampling[2]}")
    full = cv2.resize(decode(encoded), (size, size), interpolation=cv2.INTER_AREA)
    difference = np.abs(load(encoded, size).astype(int) - full)
    # Of 255 levels; the most at 28, which comes by way of 32 and so is averaged twice.
    assert difference.mean() < 3
    assert np.quantile(difference, 0.99) <= 14


sides = st.integers(1, 70)


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, size=sides, value=st.integers(0, 255))
def test_load_gives_the_size_and_keeps_a_constant(height, width, size, value):
    plain = np.full((height, width, 3), value, np.uint8)
    loaded = load(cv2.imencode(".png", plain)[1].tobytes(), size)
    assert loaded.shape == (size, size, 3)
    assert (loaded == value).all()


def test_load_leaves_a_picture_that_has_the_size_alone():
    noise = RNG.integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(load(encode(Image.fromarray(noise), "PNG"), 32), noise)


@settings(max_examples=40, deadline=None)
@given(height=sides, width=sides, data=st.data())
def test_shrinking_averages_areas_so_it_keeps_the_mean(height, width, data):
    size = data.draw(st.integers(1, min(height, width)))
    noise = np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3))
    loaded = load(encode(Image.fromarray(noise.astype(np.uint8)), "PNG"), size)
    # Each pixel is rounded once: half a level at most, and all in one direction at worst.
    np.testing.assert_allclose(loaded.mean((0, 1)), noise.mean((0, 1)), atol=0.6)


def test_shrinking_by_a_whole_number_is_the_mean_of_each_block():
    noise = RNG.integers(0, 256, (24, 36, 3), np.uint8)
    blocks = noise.reshape(12, 2, 12, 3, 3).mean((1, 3))
    loaded = load(encode(Image.fromarray(noise), "PNG"), 12)
    np.testing.assert_allclose(loaded, blocks, atol=0.51)


def test_enlarging_stays_between_the_neighbours():
    edge = np.zeros((4, 4, 3), np.uint8)
    edge[:, 2:] = 200
    loaded = load(encode(Image.fromarray(edge), "PNG"), 16)
    assert (np.diff(loaded[..., 0].astype(int), axis=1) >= 0).all()
    assert (loaded[:, 0] == 0).all()
    assert (loaded[:, -1] == 200).all()


# Crops


def test_a_crop_is_the_middle_of_the_resized_picture():
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 48:80] = 200  # the middle 32 columns
    cropped = load(encode(Image.fromarray(pixels), "PNG"), 28, crop=0.875)
    assert cropped.shape == (28, 28, 3)
    # 64 x 128 becomes 32 x 64, of whose middle 28 columns the stripe takes 16.
    assert (cropped[:, 6:22] == 200).all()
    assert not cropped[:, :6].any()
    assert not cropped[:, 22:].any()


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    size=st.integers(8, 64),
    crop=st.floats(0.25, 1),
)
def test_a_crop_has_the_size_whatever_the_picture_is(height, width, size, crop):
    encoded = encode(Image.new("RGB", (width, height), (9, 9, 9)), "PNG")
    cropped = load(encoded, size, crop)
    assert cropped.shape == (size, size, 3)
    assert (cropped == 9).all()


def test_of_a_square_a_whole_crop_is_what_squashing_gives():
    square = RNG.integers(0, 256, (30, 30, 3), np.uint8)
    encoded = encode(Image.fromarray(square), "PNG")
    np.testing.assert_array_equal(load(encoded, 12, crop=1.0), load(encoded, 12))
