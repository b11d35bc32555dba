"""Whatever is in a file: an upright RGB picture, or BadImageError."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from bcjax.data.decode import BadImageError, decode

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


def test_a_rotated_jpeg_is_upright_at_reduced_size_too():
    wide = Image.fromarray(np.repeat(np.repeat(PIXELS, 8, 0), 16, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    reduced = decode(encode(wide, "JPEG", quality=95, exif=exif), at_least=24)
    upright = np.asarray(wide.transpose(Image.Transpose.ROTATE_270))
    assert reduced.shape[0] < upright.shape[0]
    expected = cv2.resize(upright, reduced.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(reduced.astype(int) - expected).mean() < 4


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


@settings(max_examples=150)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=300))
def test_random_bytes_are_a_picture_or_refused(start, rest):
    is_picture_or_refused(start + rest)


EXIF = Image.Exif()
EXIF[0x0112] = 6
WHOLE = [
    encode(PICTURE, kind, exif=EXIF, **options)
    for kind, options in (("JPEG", {}), ("PNG", {}), ("TIFF", {}), LOSSLESS[4])
] + [encode(PICTURE, "BMP"), encode(Image.merge("LA", (ALPHA, ALPHA)), "TIFF")]


@settings(max_examples=300)
@given(data=st.data(), whole=st.sampled_from(WHOLE))
def test_damaged_pictures_are_a_picture_or_refused(data, whole):
    damaged = bytearray(whole)
    place = st.integers(0, len(whole) - 1) | st.integers(0, 100)  # headers more often
    for i, byte in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=4)):
        damaged[i] = byte
    is_picture_or_refused(bytes(damaged))


# Reduced decoding


@settings(max_examples=60)
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
