"""The telephone app in headless Chromium: bytes over the wire, time of a picture, and screenshots.

    python benchmarks/app.py --workdir=RUN --pictures=FOLDER --out=app.json
    python benchmarks/app.py --workdir=RUN --images=docs/images

The run's app is exported, and opened as a telephone opens it. A picture is timed from its encoded
bytes to its answer, on the one thread that the app uses; the probabilities are compared with those
of `predict`. `--images` only draws the screenshots, of pictures that bcjax
draws. `app_runtimes.py` compares runtimes.
"""

import argparse
import base64
import contextlib
import functools
import http.server
import io
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import page as pages
from PIL import Image

import bcjax
from bcjax.data.sources import synthetic
from bcjax.exports.webapp.folder import POLICY
from bcjax.exports.webapp.server import Server

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
TIMED = """async ([picture, times]) => {
  const { decode } = await import("./js/decode.js");
  const { prepare } = await import("./js/resize.js");
  const app = window.bcjax;
  const blob = new Blob([Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0))]);
  const found = { decoding: [], preparing: [], network: [] };
  for (let time = 0; time < times; time++) {
    const begin = performance.now();
    const pixels = await decode(blob, app.atLeast, app.mostPixels);
    const decoded = performance.now();
    const prepared = prepare(pixels, app.shape, app.page.preparation);
    const ready = performance.now();
    found.probabilities = (await app.network(prepared)).probabilities;
    found.decoding.push(decoded - begin);
    found.preparing.push(ready - decoded);
    found.network.push(performance.now() - ready);
  }
  return found;
}"""
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}
DESK = {"viewport": {"width": 1280, "height": 800}}
MB = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="folder of pictures to time, searched")
    parser.add_argument("--count", type=int, default=50, help="pictures, evenly over the folder")
    parser.add_argument("--times", type=int, default=5, help="that each is timed")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--images", type=Path, help="draw screenshots into this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        exported = bcjax.export(options.workdir, temporary, formats="webapp")
        folder = exported.folder / "webapp"
        if options.images:
            screenshots(folder, options.images)
            return
        page = pages.begin()
        page |= measure(folder, options)
        page["certificate"] = exported.certificates[0].to_dict()
    pages.write(page, options.out)
    print(table(page))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Returns what the first load took, the times, and how far answers are from predict's."""
    net = bcjax.load(options.workdir)
    found = sorted(path for path in options.pictures.rglob("*") if path.is_file())
    step = max(1, len(found) // options.count)
    files = [path.read_bytes() for path in found[::step][: options.count]]
    expected = net.predict(files)
    with chromium() as browser:
        with compressing(folder) as address:
            wire = bytes_of_first_load(browser, address)
        with plain(folder) as address:
            page = opened(browser.new_context(), address)
            timed = [
                page.evaluate(TIMED, [base64.b64encode(each).decode(), options.times])
                for each in files
            ]
    ours = np.array([each["probabilities"] for each in timed])
    times = {
        key: [ms for each in timed for ms in each[key]]
        for key in ("decoding", "preparing", "network")
    }
    times["whole"] = [sum(parts) for parts in zip(*times.values(), strict=True)]
    return {
        "network": net.config.model.name,
        "image_size": list(net.image_size),
        "pictures": len(files),
        "times": options.times,
        "bytes_first_load": wire,
        "difference": float(np.abs(ours - expected.probabilities).max()),
        "same_label": int((ours.argmax(axis=1) == expected.indices).sum()),
        "ms": {
            key: {"p50": statistics.median(each), "p95": float(np.percentile(each, 95))}
            for key, each in times.items()
        },
    }


def table(page: dict[str, Any]) -> str:
    """Returns the figures as Markdown."""
    height, width = page["image_size"]
    rows = [
        ("First load, compressed", f"{page['bytes_first_load'] / MB:.2f} MB"),
        ("of it the network", f"{page['certificate']['bytes'] / MB:.2f} MB"),
        *(
            (f"{label}, median (95 % are faster)", f"{ms['p50']:.1f} ms ({ms['p95']:.1f} ms)")
            for label, ms in (
                ("The network's answer", page["ms"]["network"]),
                ("Decoding", page["ms"]["decoding"]),
                ("Resizing", page["ms"]["preparing"]),
                ("A picture in all", page["ms"]["whole"]),
            )
        ),
        ("Same label as `bcjax predict`", f"{page['same_label']} of {page['pictures']}"),
        ("Largest difference of a probability", f"{page['difference']:.0e}"),
    ]
    lines = [f"| {page['network']}, {height} x {width} px, one thread | |", "|---|--:|"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    lines += ["", pages.measured(page)]
    return "\n".join(lines)


def bytes_of_first_load(browser: Any, address: str) -> int:
    """Returns the bytes that a browser without a store receives until the app is there."""
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    received: list[int] = []
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto(address)
    page.wait_for_selector("#app:not([hidden])")
    page.wait_for_load_state("networkidle")
    context.close()
    return int(sum(received))


def screenshots(folder: Path, out: Path) -> None:
    """Draws the app on a telephone and on a desk, with drawn cells."""
    drawn = [
        {"name": f"cell_{at}.png", "mimeType": "image/png", "buffer": drawing(at)}
        for at in range(24)
    ]
    with (
        tempfile.TemporaryDirectory() as temporary,
        chromium(*camera(Path(temporary))) as browser,
        plain(folder) as address,
    ):
        for name, size, scheme in (
            ("app_phone", PHONE, "light"),
            ("app_phone_dark", PHONE, "dark"),
            ("app_desk", DESK, "light"),
        ):
            context = browser.new_context(color_scheme=scheme, permissions=["camera"], **size)
            page = opened(context, address)
            page.set_input_files("#files", drawn)
            page.wait_for_selector("#history-list li:nth-child(24)")
            if scheme == "dark":
                page.evaluate("document.getElementById('tally').scrollIntoView()")
            elif size is PHONE:
                page.click("#camera")
                page.wait_for_timeout(2000)
            shot = Image.open(io.BytesIO(page.screenshot()))
            shot.thumbnail((1280, 1000))
            shot.quantize(192).save(out / f"{name}.png", optimize=True)


def drawing(at: int) -> bytes:
    """Returns a drawn cell as PNG, one class after the other."""
    classes = len(synthetic.CLASSES)
    cell = synthetic.draw(at % classes, at // classes, seed=11, size=360).image
    file = io.BytesIO()
    Image.fromarray(cell).save(file, "PNG")
    return file.getvalue()


def camera(folder: Path) -> list[str]:
    """Returns the flags by which Chromium takes a drawn field for what its camera sees."""
    import cv2

    cell = synthetic.draw(6, 1, seed=11, size=336).image  # as large as the frame
    frame = cv2.copyMakeBorder(cell, 72, 72, 152, 152, cv2.BORDER_REFLECT)
    film = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes()
    file = folder / "film.y4m"
    header = b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\n"
    file.write_bytes(header + 2 * (b"FRAME\n" + film))
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    return [*fake, f"--use-file-for-fake-video-capture={file}"]


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *flags]
        )
        yield browser
        browser.close()


def opened(context: Any, address: str) -> Any:
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#app:not([hidden])", timeout=60_000)
    return page


@contextlib.contextmanager
def running(server: http.server.HTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def compressing(folder: Path) -> Iterator[str]:
    """Serves as `bcjax app` does, without encryption."""
    server = Server("127.0.0.1", 0, POLICY, None)
    server.publish(folder)
    with running(server) as address:
        yield address


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *values: object) -> None: ...


@contextlib.contextmanager
def plain(folder: Path) -> Iterator[str]:
    """Serves as any server of files does."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with running(server) as address:
        yield address


if __name__ == "__main__":
    main()
