"""The app in a browser, as a telephone opens it."""

import base64
import contextlib
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from webpage import CHROMIUM

from bcjax.data.sources import synthetic
from bcjax.exports.webapp.folder import POLICY
from bcjax.exports.webapp.server import Server

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
# Answers of the app to encoded pictures, without what it shows.
_ANSWERS = """async (pictures) => {
  const { decode } = await import("./js/decode.js");
  const { prepare } = await import("./js/resize.js");
  const app = window.bcjax;
  const answers = [];
  for (const picture of pictures) {
    const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
    const pixels = await decode(new Blob([bytes]), app.atLeast, app.mostPixels);
    const prepared = prepare(pixels, app.shape, app.page.preparation);
    answers.push(await app.network(prepared));
  }
  return answers;
}"""


@contextlib.contextmanager
def served(folder: Path):
    """Serves a folder without encryption, which browsers trust at localhost; yields the address."""
    with Server("127.0.0.1", 0, POLICY, None) as server:
        server.publish(folder)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{server.port}/"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def chromium(playwright, *further: str):
    """Yields a browser without a window."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *further])
    yield browser
    browser.close()


def opened(context, address: str):
    """Returns the page of the app, started."""
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#app:not([hidden])", timeout=60_000)
    return page


def answers(page, pictures: list[bytes]) -> list[dict]:
    return page.evaluate(_ANSWERS, [base64.b64encode(each).decode() for each in pictures])


def fault_at_start(context, address: str) -> str:
    """Returns the sentence that the app shows where it cannot start."""
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#start.fault", timeout=60_000)
    return page.inner_text("#start-said")


def cells(count: int, height: int = 363, width: int = 360) -> list[np.ndarray]:
    """Pictures of drawn cells, one class after the other: RGB, with the grain of a camera."""
    grain, side = np.random.default_rng(7), max(height, width)
    classes = len(synthetic.CLASSES)
    pictures = []
    for position in range(count):
        drawn = synthetic.draw(position % classes, position // classes, seed=7, size=side)
        pixels = drawn.image[:height, :width] + grain.normal(0, 6, (height, width, 3))
        pictures.append(pixels.round().clip(0, 255).astype(np.uint8))
    return pictures


def encoded(picture: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()
