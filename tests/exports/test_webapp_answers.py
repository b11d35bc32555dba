"""The app answers pictures as `predict` does."""

import base64

import cv2
import numpy as np
import phone
import pytest
from phone import cells, encoded
from PIL import Image
from playwright.sync_api import expect

import bcjax as library
from bcjax.config import ImageSize
from bcjax.data.decode import decode
from bcjax.data.input_transform import InputTransform

# Of decoded pictures and of prepared ones, in the browser; pixels travel as text.
DECODED = """async ([picture, atLeast]) => {
  const { decode } = await import("./js/decode.js");
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  const { width, height, data } = await decode(new Blob([bytes]), atLeast, 1e8);
  return [height, width, Array.from(data, (each) => String.fromCharCode(each)).join("")];
}"""
PREPARED = """async ([height, width, pixels, size, preparation]) => {
  const { prepare } = await import("./js/resize.js");
  const data = Uint8Array.from(atob(pixels), (letter) => letter.charCodeAt(0));
  const found = prepare({ height, width, data }, size, preparation);
  const text = Array.from(found.data, (each) => String.fromCharCode(each)).join("");
  return [found.height, found.width, text];
}"""


def as_text(picture):
    return base64.b64encode(picture).decode()


def as_array(found):
    height, width, text = found
    return np.frombuffer(text.encode("latin-1"), np.uint8).reshape(height, width, 3)


def test_fifty_pictures_get_the_probabilities_of_predict(app, page):
    kinds = [{"kind": "PNG"}, {"kind": "JPEG"}, {"kind": "JPEG", "progressive": True}]
    pictures = [encoded(cell, **kinds[at % 3]) for at, cell in enumerate(cells(50))]
    expected = library.load(app.workdir).predict(pictures)
    found = phone.answers(page, pictures)
    ours = np.array([each["probabilities"] for each in found])
    assert np.abs(ours - expected.probabilities).max() < 1e-4
    assert (ours.argmax(axis=1) == expected.indices).all()
    assert len(set(expected.indices)) > 2
    np.testing.assert_allclose([each["distance"] for each in found], expected.distance, rtol=1e-2)


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 30},
        {"quality": 95, "subsampling": "4:4:4"},
        {"subsampling": "4:2:2", "progressive": True},
        {"restart_marker_blocks": 3},
    ],
    ids=lambda options: " ".join(map(str, options)),
)
def test_a_jpeg_has_the_bits_of_bcjax_at_every_eighth_of_its_size(page, options):
    (cell,) = cells(1, 77, 99)
    picture = encoded(cell, "JPEG", **options)
    for at_least in (1, 15, 25, 35, 45, 55, 65, 75, 400):
        found = page.evaluate(DECODED, [as_text(picture), at_least])
        expected = decode(picture, at_least=at_least)
        np.testing.assert_array_equal(as_array(found), expected, err_msg=f"{at_least}")


def test_a_grey_jpeg_and_one_that_lies_on_its_side_are_upright_rgb(page):
    (cell,) = cells(1, 40, 50)
    picture = encoded(cell[..., 0], "JPEG")
    found = page.evaluate(DECODED, [as_text(picture), 20])
    np.testing.assert_array_equal(as_array(found), decode(picture, at_least=20))
    for orientation in range(1, 9):
        turned = Image.Exif()
        turned[0x0112] = orientation
        for kind in ("JPEG", "PNG"):
            picture = encoded(cell, kind, exif=turned)
            found = page.evaluate(DECODED, [as_text(picture), 400])
            np.testing.assert_array_equal(as_array(found), decode(picture))


def test_what_is_transparent_lies_on_white(page):
    (cell,) = cells(1, 30, 30)
    alpha = np.linspace(0, 255, 30).round().astype(np.uint8)[None].repeat(30, 0)
    picture = encoded(np.dstack([cell, alpha]))
    found = as_array(page.evaluate(DECODED, [as_text(picture), 0]))
    # The browser keeps colours times their alpha, which costs it a level of pale pixels.
    assert np.abs(found.astype(int) - decode(picture)).max() <= 1


@pytest.mark.parametrize("size", [(24, 24), (16, 32)], ids=str)
@pytest.mark.parametrize(
    "preparation",
    [
        {"resize": "squash"},
        {"resize": "crop", "crop_fraction": 0.7, "grey": True},
        {"resize": "pad", "pad_colour": (10, 20, 30)},
    ],
    ids=lambda preparation: preparation["resize"],
)
def test_a_picture_is_prepared_as_for_the_network(page, preparation, size):
    transform = InputTransform(ImageSize(*size), **preparation)
    defaults = {"crop_fraction": 1, "pad_colour": [0, 0, 0], "grey": False}
    # Smaller by whole pixels and by parts of them, larger, one of both, and as it is.
    for height, width in ((48, 96), (37, 50), (13, 10), (50, 15), size):
        (cell,) = cells(1, height, width)
        asked = [height, width, as_text(cell.tobytes()), size, defaults | preparation]
        found = as_array(page.evaluate(PREPARED, asked))
        difference = np.abs(found.astype(int) - transform(encoded(cell)))
        assert difference.max() <= 1
        # OpenCV enlarges with other instructions: some pixels are rounded otherwise there.
        shrinks = height >= size[0] and width >= size[1]
        assert (difference > 0).mean() < (1e-9 if shrinks else 0.02)


def test_what_the_camera_shows_in_the_frame_gets_the_label_of_predict(
    app, playwright, address, tmp_path
):
    """The browser takes a file of frames for its camera."""
    shown, side = cells(8, 336, 336), 336
    net = library.load(app.workdir)
    surest = int(net.predict(shown).probabilities.max(axis=1).argmax())
    frame = np.full((480, 640, 3), 240, np.uint8)
    frame[72 : 72 + side, 152 : 152 + side] = shown[surest]
    film = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
    header = b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\n"
    file = tmp_path / "film.y4m"
    file.write_bytes(header + 2 * (b"FRAME\n" + film.tobytes()))
    decoded = cv2.cvtColor(film, cv2.COLOR_YUV2RGB_I420)[72 : 72 + side, 152 : 152 + side]
    expected = net.predict(decoded)
    film = f"--use-file-for-fake-video-capture={file}"
    with phone.chromium(playwright, *phone.CAMERA, film) as browser:
        page = phone.opened(browser.new_context(permissions=["camera"]), address)
        page.click("#camera")
        expect(page.locator("#live")).to_contain_text(expected.labels[0])
        page.click("#take")
        expect(page.locator("#history-list li")).to_have_count(1)
        assert page.inner_text("#said").startswith(f"Photograph: {expected.labels[0]}")
        kept = page.evaluate("bcjax.history.history.all()")
        assert kept[0]["probability"] == pytest.approx(expected[0].probability, abs=0.03)
        page.click("#camera")
        assert page.is_hidden("#video")


# Each time that is measured seems shorter than the one before, and all seem long.
SHORTER = "let now = 0, step = 1e9; performance.now = () => (now += step /= 1.1)"


@pytest.mark.parametrize("lost", [False, True], ids=["there", "lost"])
def test_where_a_gpu_is_faster_it_gives_the_same_answers(app, playwright, address, lost):
    """Chromium computes a GPU's answers by software."""
    flags = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
    pictures = [encoded(cell) for cell in cells(8)]
    with phone.chromium(playwright, *flags, "--enable-features=Vulkan") as browser:
        context = browser.new_context()
        page = phone.opened(context, address)
        if not page.evaluate("(async () => Boolean(await navigator.gpu?.requestAdapter()))()"):
            pytest.skip("this Chromium has no GPU, nor software for one")
        assert page.evaluate("bcjax.onGpu") is False  # for the network is small
        context.add_init_script(SHORTER)
        page = phone.opened(context, address)
        assert page.evaluate("bcjax.onGpu") is True
        if lost:
            page.evaluate(
                'import("./runtime/litert.js").then((each) => each.getWebGpuDevice().destroy())'
            )
        found = phone.answers(page, pictures)
    expected = library.load(app.workdir).predict(pictures)
    ours = np.array([each["probabilities"] for each in found])
    assert np.abs(ours - expected.probabilities).max() < 1e-4
    np.testing.assert_allclose([each["distance"] for each in found], expected.distance, rtol=1e-2)
