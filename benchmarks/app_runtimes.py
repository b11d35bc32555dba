"""Runtimes for a page: how large each is, and how fast it answers, in headless Chromium.

    python benchmarks/app_runtimes.py --workdir=RUN --out=benchmarks/results/app_runtimes.json

npm fetches the packages. The run is written as ONNX and for LiteRT, which LiteRT.js wants for a
single picture; a page that does nothing else loads a runtime and answers a random picture again and
again, on one thread, turn by turn with the other. Sizes are those of the files that such a page
needs, compressed by gzip. There is no GPU in a headless browser, so that the build for WebGPU has a
size alone.
"""

import argparse
import gzip
import shutil
import statistics
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import app
import numpy as np
import page as pages

import bcjax
from bcjax.exports import litert_file, onnx_file
from bcjax.exports.servable import servable
from bcjax.exports.webapp import litert_web

TURNS, TIMES, WARM = 5, 200, 20
MB = 1e6


class Runtime(NamedTuple):
    """A runtime for pages.

    Attributes:
      packages: Its npm packages, with the folder that each is served from.
      files: What a page needs of them.
      model: The file of the network that it reads; "" if it is not timed.
      script: Makes `run(pixels, shape)`, which resolves to the probabilities of a picture.
    """

    packages: dict[str, str]
    files: list[str]
    model: str = ""
    script: str = ""


_ONNX = {"onnxruntime-web@1.30.0": "onnx"}
_LITERT = {
    f"@litertjs/core@{litert_web.VERSION}": "litert",
    f"@litertjs/wasm-utils@{litert_web.VERSION}": "utils",
}


def _litert(build: str) -> Runtime:
    return Runtime(
        _LITERT,
        [
            "litert/dist/index.js",
            "utils/dist/index.js",
            f"litert/wasm/{build}.js",
            f"litert/wasm/{build}.wasm",
        ],
        "model.tflite",
        f"""
          const {{ loadLiteRt, loadAndCompile, Tensor }} = await import("./litert/dist/index.js");
          await loadLiteRt("litert/wasm/{build}.js");
          const options = {{ accelerator: "wasm", cpuOptions: {{ numThreads: 1 }} }};
          const model = await loadAndCompile("model.tflite", options);
          const run = async (pixels, shape) => {{
            const images = new Tensor(pixels, shape);
            const found = await model.run({{ images }});
            const probabilities = found.probabilities.toTypedArray().slice();
            for (const each of [images, ...Object.values(found)]) each.delete();
            return probabilities;
          }};
        """,
    )


RUNTIMES = {
    "ONNX Runtime Web": Runtime(
        _ONNX,
        ["onnx/dist/ort.wasm.bundle.min.mjs", "onnx/dist/ort-wasm-simd-threaded.wasm"],
        "model.onnx",
        """
          const ort = await import("./onnx/dist/ort.wasm.bundle.min.mjs");
          ort.env.wasm.wasmPaths = new URL("onnx/dist/", location.href).href;
          ort.env.wasm.numThreads = 1;
          const session = await ort.InferenceSession.create("model.onnx");
          const run = async (pixels, shape) => {
            const found = await session.run({ images: new ort.Tensor("uint8", pixels, shape) });
            return found.probabilities.data;
          };
        """,
    ),
    "LiteRT.js": _litert("litert_wasm_internal"),
    "LiteRT.js without relaxed SIMD": _litert("litert_wasm_compat_internal"),
    "ONNX Runtime Web with WebGPU": Runtime(
        _ONNX,
        ["onnx/dist/ort.webgpu.bundle.min.mjs", "onnx/dist/ort-wasm-simd-threaded.asyncify.wasm"],
    ),
}
PAGE = """<!doctype html><meta charset="utf-8"><script type="importmap">
{"imports": {"@litertjs/wasm-utils": "./utils/dist/index.js"}}</script>"""
TIMED = """async ([pixels, shape, warm, times]) => {
  %s
  const picture = new Uint8Array(pixels), ms = [];
  let probabilities;
  for (let i = 0; i < warm + times; i++) {
    const begin = performance.now();
    probabilities = await run(picture, shape);
    if (i >= warm) ms.push(performance.now() - begin);
  }
  return { ms, probabilities: Array.from(probabilities) };
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for runtime in RUNTIMES.values():
            for package, place in runtime.packages.items():
                if not (folder / place).exists():
                    unpack(package, folder / place)
        (folder / "index.html").write_text(PAGE)
        net = bcjax.load(options.workdir)
        network = servable(net)
        onnx_file.write(network, folder / "model.onnx")
        (folder / "model.tflite").write_bytes(litert_file.for_one_picture(network))
        page = pages.begin()
        page |= {"network": net.config.model.name, "image_size": list(net.image_size)}
        page["runtimes"] = measured(folder, net)
    pages.write(page, options.out)
    print(table(page))


def unpack(package: str, folder: Path) -> None:
    """Fetches an npm package and unpacks it into a folder."""
    with tempfile.TemporaryDirectory() as temporary:
        command = ["npm", "pack", "--silent", package]
        subprocess.run(command, cwd=temporary, check=True, stdout=subprocess.DEVNULL)
        (packed,) = Path(temporary).glob("*.tgz")
        with tarfile.open(packed) as archive:
            archive.extractall(temporary, filter="data")
        shutil.move(Path(temporary) / "package", folder)


def measured(folder: Path, net: Any) -> dict[str, dict[str, Any]]:
    """Returns the bytes of each runtime, its times, and how far its answers are from predict's."""
    height, width = net.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    expected = net.predict(pixels).probabilities[0]
    found: dict[str, dict[str, Any]] = {}
    for name, runtime in RUNTIMES.items():
        contents = [(folder / each).read_bytes() for each in runtime.files]
        size = sum(len(gzip.compress(each, 9)) for each in contents)
        found[name] = {"packages": list(runtime.packages), "bytes": size}
    given = [pixels.ravel().tolist(), [1, height, width, 3], WARM, TIMES]
    with app.chromium() as browser, app.plain(folder) as address:
        for _ in range(TURNS):
            for name, runtime in RUNTIMES.items():
                if not runtime.model:
                    continue
                page = browser.new_page()
                page.goto(address)
                timed = page.evaluate(TIMED % runtime.script, given)
                page.close()
                found[name].setdefault("p50_ms", []).append(statistics.median(timed["ms"]))
                apart = np.abs(np.array(timed["probabilities"]) - expected).max()
                found[name]["difference"] = float(apart)
    return found


def table(page: dict[str, Any]) -> str:
    """Returns the figures as Markdown."""
    height, width = page["image_size"]
    lines = [
        "| runtime | npm packages | compressed | a picture | probability differs by |",
        "|---|---|--:|--:|--:|",
    ]
    for name, each in page["runtimes"].items():
        cells = [name, ", ".join(each["packages"]), f"{each['bytes'] / MB:.2f} MB", "", ""]
        if "p50_ms" in each:
            cells[3] = f"{statistics.median(each['p50_ms']):.1f} ms"
            cells[4] = f"{each['difference']:.0e}"
        lines.append(f"| {' | '.join(cells)} |")
    said = (
        f"{page['network']}, {height} x {width} px, one thread, in headless Chromium: the median "
        f"of {TIMES} answers, and of {TURNS} turns."
    )
    return "\n".join([*lines, "", f"{said} {pages.measured(page)}"])


if __name__ == "__main__":
    main()
