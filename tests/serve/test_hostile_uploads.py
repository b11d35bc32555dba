"""Uploads that mean harm, or are broken: a refusal in one sentence, and the service goes on."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bcjax.serve.served_run import ServedRun
from bcjax.serve.settings import Settings

PNG = {"content-type": "image/png"}


def png_of(width: int, height: int, content: bytes = b"") -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def jpeg_of(width: int, height: int) -> bytes:
    encoded = bytearray(saved("JPEG"))
    at = encoded.index(b"\xff\xc0") + 5
    encoded[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(encoded)


def saved(kind: str, side: int = 40, **options) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def exif_bomb() -> bytes:
    """A JPEG whose EXIF says that it holds four thousand million entries, in a circle."""
    entries = struct.pack("<HHII", 0x8769, 4, 1, 8) * 2000
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", 65535) + entries + struct.pack("<I", 8)
    return saved("JPEG", exif=b"Exif\0\0" + tiff[:60000])


def tiff_of(width: int, height: int) -> bytes:
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((256, width), (257, height))
    )
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + b"\0\0\0\0"


LARGE = {
    "a PNG of 50,000 x 50,000": png_of(50_000, 50_000),
    "a PNG whose megabytes of zeros are a few bytes": png_of(6_000, 6_000, b"\0" * 50_000_000),
    "a PNG of the largest numbers": png_of(2**31 - 1, 2**31 - 1),
    "a JPEG of 50,000 x 50,000": jpeg_of(50_000, 50_000),
    "a TIFF of 50,000 x 50,000": tiff_of(50_000, 50_000),
    "a BMP of 50,000 x 50,000": b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, 50_000, 50_000),
    "a GIF of 65,535 x 65,535": saved("GIF")[:6] + b"\xff\xff\xff\xff" + saved("GIF")[10:],
}
BROKEN = {
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "an SVG of entities": b'<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;">]><svg>&d;</svg>',
    "text": b"This is no picture.",
    "nothing": b"",
    "a PDF": b"%PDF-1.7\n%%EOF",
    "a zip": b"PK\x03\x04" + b"\0" * 100,
    "a truncated PNG": saved("PNG")[:500],
    "a truncated JPEG": saved("JPEG")[:500],
    "a truncated WebP": saved("WEBP")[:100],
    "a PNG without pixels": png_of(40, 40),
    "a PNG of no width": png_of(0, 40),
    "only a magic number": b"\xff\xd8\xff",
    "a DICOM file": b"\0" * 128 + b"DICM" + b"\0" * 50,
}


@pytest.mark.parametrize("name", LARGE)
def test_a_picture_that_is_too_large_by_its_header_is_refused_before_it_is_decoded(client, name):
    answer = client.post("/v1/predict", content=LARGE[name], headers=PNG)
    assert answer.status_code == 413
    assert "pixels are more than 25,000,000" in answer.json()["error"]
    assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_whole_picture_is_refused(client, name):
    answer = client.post("/v1/predict", content=BROKEN[name], headers=PNG)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("The picture cannot be read: ")


def test_the_good_among_the_hostile_are_answered(serve, pictures):
    sent = [*LARGE.values(), *BROKEN.values(), pictures[0]]
    files = [("pictures", (str(i), each)) for i, each in enumerate(sent)]
    answer = serve().post("/v1/predict", files=files)
    assert answer.status_code == 200
    *errors, good = answer.json()["predictions"]
    assert all("error" in each for each in errors)
    assert good["label"]


def test_an_exif_bomb_is_only_a_picture(client):
    answer = client.post("/v1/predict", content=exif_bomb(), headers=PNG)
    assert answer.status_code == 200


def test_a_wrong_content_type_or_name_decides_nothing(client, pictures):
    sent = [("pictures", ("../../etc/passwd", pictures[0], "text/html"))]
    (answer,) = client.post("/v1/predict", files=sent).json()["predictions"]
    assert answer["name"] == "../../etc/passwd"
    assert answer["label"]


@pytest.mark.parametrize("size", [1, 100])
def test_ten_thousand_files_in_a_request_are_refused(client, size):
    part = b'--a\r\nContent-Disposition: form-data; name="p"; filename="x"\r\n\r\n' + b"x" * size
    answer = client.post(
        "/v1/predict",
        content=(part + b"\r\n") * 10_000 + b"--a--",
        headers={"content-type": "multipart/form-data; boundary=a"},
    )
    assert answer.status_code == 413
    assert "64 pictures" in answer.json()["error"]


def test_ten_thousand_pictures_in_json_are_refused(client):
    answer = client.post("/v1/predict", json={"pictures": ["AAAA"] * 10_000})
    assert answer.status_code == 413
    assert "10,000 pictures" in answer.json()["error"]


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(serve):
    client = serve(max_body=10_000)
    told = client.post("/v1/predict", content=b"x" * 10_001, headers=PNG)
    untold = client.post("/v1/predict", content=(b"x" * 1000 for _ in range(11)), headers=PNG)
    for answer in (told, untold):
        assert answer.status_code == 413
        assert "10,000 bytes" in answer.json()["error"]
    assert client.post("/v1/predict", content=b"x" * 10_000, headers=PNG).status_code == 422


def test_a_picture_of_fewer_pixels_can_be_too_large_for_a_service(serve, calibrated, pictures):
    limits = {"max_batch": 1, "max_pixels": 1599}
    run = ServedRun("clinic", calibrated, "best", "jax", Settings(**limits))
    client = serve([run], **limits)
    answer = client.post("/v1/predict", content=pictures[0], headers=PNG)
    assert answer.status_code == 413
    assert "40 x 40 pixels are more than 1,599" in answer.json()["error"]


def test_more_pictures_than_a_request_may_hold_are_refused_on_each_road(serve, pictures, runs):
    client = serve(max_pictures=2)
    files = [("pictures", (str(i), pictures[0])) for i in range(3)]
    assert client.post("/v1/predict", files=files).status_code == 413
    tensor = {"name": "images", "datatype": "UINT8", "shape": [3, 32, 32, 3], "data": [0] * 9216}
    answer = client.post("/v2/models/clinic/infer", json={"inputs": [tensor]})
    assert answer.status_code == 413
    assert client.post("/v1/predict", files=files[:2]).status_code == 200
