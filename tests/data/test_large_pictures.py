"""A picture larger than `data.max_pixels` is refused by its header; of pages, the first is read."""

import io
import pickle
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin
from tests.support.picture_sources import settings

from bcjax.config import ImageSize
from bcjax.data import decode, preparation
from bcjax.data.boxes import Box, box_reader
from bcjax.data.decode import BadImageError, count_frames
from bcjax.data.input_transform import InputTransform
from bcjax.data.sources import open_source
from bcjax.runtime.errors import UserError

KINDS = ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "AVIF", "PPM"]


def encode(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def bomb(width=30_000, height=30_000):
    """A PNG of a few hundred bytes whose header says that it has very many pixels."""

    def chunk(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 + 3 * width))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.fixture
def no_pixels(monkeypatch):
    """Decoding any pixel fails."""

    def refuse(*args, **kwargs):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(decode.cv2, "imdecode", refuse)
    monkeypatch.setattr(decode.simplejpeg, "decode_jpeg", refuse)


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_refused_by_its_header(kind, no_pixels):
    encoded = encode(Image.fromarray(np.zeros((20, 30, 3), np.uint8)), kind)
    with pytest.raises(BadImageError, match=r"30 x 20 pixels.*max_pixels=599.*max_pixels=600"):
        decode.decode(encoded, max_pixels=599)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_of_exactly_as_many_pixels_is_decoded(kind):
    encoded = encode(Image.fromarray(np.zeros((20, 30, 3), np.uint8)), kind)
    assert decode.decode(encoded, max_pixels=600).shape == (20, 30, 3)


def unusual():
    pixels = np.arange(20 * 30 * 3, dtype=np.uint16).reshape(20, 30, 3)
    bmp = bytearray(encode(Image.fromarray(pixels.astype(np.uint8)), "BMP"))
    struct.pack_into("<i", bmp, 22, -20)
    yield "BMP from the top down", bytes(bmp)
    old = b"BM" + struct.pack("<IIIIHHHH", 0, 0, 26, 12, 30, 20, 1, 24) + bytes(20 * 92)
    yield "BMP of OS/2", old
    yield "BigTIFF", encode(Image.new("RGB", (30, 20)), "TIFF", big_tiff=True)
    yield "TIFF of 16 bits", cv2.imencode(".tiff", pixels)[1].tobytes()


@pytest.mark.parametrize("encoded", [pytest.param(e, id=name) for name, e in unusual()])
def test_pictures_with_unusual_headers_are_decoded_or_refused_all_the_same(encoded):
    assert decode.decode(encoded, max_pixels=600).shape == (20, 30, 3)
    with pytest.raises(BadImageError, match="30 x 20 pixels"):
        decode.decode(encoded, max_pixels=599)


@given(width=st.integers(1, 40), height=st.integers(1, 40), most=st.integers(1, 1600))
def test_a_picture_is_refused_if_and_only_if_it_is_larger(width, height, most):
    encoded = encode(Image.new("RGB", (width, height)), "PNG")
    if width * height > most:
        with pytest.raises(BadImageError, match="max_pixels"):
            decode.decode(encoded, max_pixels=most)
    else:
        assert decode.decode(encoded, max_pixels=most).shape == (height, width, 3)


def test_a_tiff_is_refused_by_its_tile(no_pixels):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[65_000], tags[65_001] = 20_000, 30_000
    encoded = encode(Image.new("RGB", (4, 4)), "TIFF", tiffinfo=tags)
    for made, tile in ((65_000, 322), (65_001, 323)):  # Pillow does not write tiles
        encoded = encoded.replace(struct.pack("<H", made), struct.pack("<H", tile))
    with pytest.raises(BadImageError, match="20,000 x 30,000"):
        decode.decode(encoded)


def test_the_default_bound_is_a_hundred_megapixels(no_pixels):
    with pytest.raises(BadImageError, match=r"30,000 x 30,000 pixels.*data.max_pixels=900000000"):
        decode.decode(bomb())
    with pytest.raises(BadImageError, match="damaged one: its header says"):  # no bound helps here
        decode.decode(bomb(40_000, 40_000))


def test_large_pictures_are_decoded_where_the_bound_is_raised():
    encoded = encode(Image.new("L", (12_000, 9_000)), "PNG")
    with pytest.raises(BadImageError, match=r"data\.max_pixels=108000000"):
        decode.decode(encoded)
    assert decode.decode(encoded, max_pixels=108_000_000).shape == (9_000, 12_000, 3)


# Every place that decodes


def folder(root, **extra):
    for name in "ab":
        (root / name).mkdir(parents=True)
        for i in range(4):
            pixels = np.random.default_rng([i, ord(name)]).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    (root / "a" / "bomb.png").write_bytes(bomb())
    return str(root)


def test_prepare_names_the_file_and_the_setting(tmp_path):
    with pytest.raises(UserError, match=r"a/bomb.png: its 30,000 .* data.max_pixels=900000000"):
        preparation.prepare(settings(folder(tmp_path / "in")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_large_picture_can_be_left_out(tmp_path):
    data = settings(folder(tmp_path / "in"), on_bad_image="skip")
    prepared = preparation.prepare(data, tmp_path / "out")
    assert sum(map(sum, prepared.counts.values())) == 8
    assert "a/bomb.png" in (tmp_path / "out" / "skipped.csv").read_text()


def test_a_raised_bound_reaches_all_that_decode(tmp_path):
    data = settings(folder(tmp_path / "in"), max_pixels=63, cache_dir=str(tmp_path))
    with pytest.raises(UserError, match="8 x 8 pixels"):
        preparation.prepare(data)
    data.max_pixels = 64
    (tmp_path / "in" / "a" / "bomb.png").unlink()
    prepared = preparation.prepare(data)
    small = InputTransform(ImageSize.of(8), max_pixels=63)
    example = prepared.examples("train")[[0]][0]
    with pytest.raises(BadImageError):
        small(example.image)
    # What is sent to a worker process.
    assert pickle.loads(pickle.dumps(InputTransform.from_config(data))).max_pixels == 64
    record = open_source(data.source, max_pixels=63).records[0]
    with pytest.raises(BadImageError):
        record.pixels()


def test_a_box_is_not_cut_out_of_a_large_picture(no_pixels):
    with pytest.raises(BadImageError, match="30,000 x 30,000"):
        box_reader(bomb, Box(0, 0, 5, 5))()


def test_a_stain_reference_may_not_be_larger(tmp_path, no_pixels):
    (tmp_path / "reference.png").write_bytes(bomb())
    data = settings(stain="macenko", stain_reference=str(tmp_path / "reference.png"))
    with pytest.raises(UserError, match=r"stain_reference.*30,000 x 30,000"):
        InputTransform.from_config(data)


def test_an_array_of_large_pictures_is_refused_by_its_header(tmp_path):
    np.savez_compressed(
        tmp_path / "c.npz", images=np.zeros((2, 30, 20), np.uint8), labels=np.arange(2)
    )
    with pytest.raises(UserError, match=r"images in .*c.npz.*20 x 30 pixels.*max_pixels=600"):
        open_source(str(tmp_path / "c.npz"), max_pixels=599)


# Several pages or frames


def several(kind, frames=3, **options):
    pictures = [Image.new("RGB", (9, 8), (80 * i, 10, 10)) for i in range(frames)]
    return encode(pictures[0], kind, save_all=True, append_images=pictures[1:], **options)


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "WEBP", "GIF", "AVIF"])
def test_pages_and_frames_are_counted_and_the_first_is_decoded(kind):
    assert count_frames(several(kind)) == 3
    assert count_frames(encode(Image.new("RGB", (9, 8)), kind)) == 1
    np.testing.assert_allclose(
        decode.decode(several(kind, lossless=True)).mean((0, 1)), (0, 10, 10), atol=6
    )


def test_a_tiff_whose_pages_lead_in_a_circle_is_counted():
    encoded = bytearray(several("TIFF", 2))
    first = struct.unpack_from("<I", encoded, 4)[0]
    second = struct.unpack_from(
        "<I", encoded, first + 2 + 12 * struct.unpack_from("<H", encoded, first)[0]
    )[0]
    place = second + 2 + 12 * struct.unpack_from("<H", encoded, second)[0]
    struct.pack_into("<I", encoded, place, first)
    assert count_frames(bytes(encoded)) in (1, 2)


def test_prepare_says_once_how_many_pictures_have_several_pages(tmp_path):
    root = folder(tmp_path / "in")
    (tmp_path / "in" / "a" / "bomb.png").unlink()
    for name in "12345":
        (tmp_path / "in" / "b" / f"pages{name}.tif").write_bytes(several("TIFF", 1 + int(name) % 2))
    prepared = preparation.prepare(settings(root), tmp_path / "out")
    notes = [note for note in prepared.notes if "pages or frames" in note]
    assert notes == [
        "3 pictures have several pages or frames, of which only the first is used (b/pages1.tif, "
        "b/pages3.tif, b/pages5.tif)."
    ]
