"""Every network of the table in ONNX, LiteRT and StableHLO: does it convert, and answer the same?

    python benchmarks/formats.py --out=benchmarks/results/formats.json

Random weights, 3 classes, random pictures, in batches of one and of three. At `--size` pixels, for
the graph is the same at each; networks with a layer for a whole picture of its size have that.
Logits are divided by the largest, or probabilities of 0 and 1 would hide what they differ by. The
same command goes on where it was interrupted.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import page as pages
import programs

from bcjax import models
from bcjax.config import ImageSize
from bcjax.exports.formats import FORMATS
from bcjax.exports.servable import PROBABILITIES, Servable
from bcjax.models import portable

CLASSES = ("a", "b", "c")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(models.MODELS))
    parser.add_argument("--formats", default="onnx,litert,stablehlo")
    parser.add_argument("--size", type=int, default=64, help="of a picture's sides, px")
    parser.add_argument("--row", action="store_true", help="print one network's row, as JSON")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.row:
        with contextlib.redirect_stdout(sys.stderr):  # converters print there
            row = tried(options.networks, options)
        print(json.dumps(row))
        return
    page = pages.begin() | {"image_size": options.size, "rows": []}
    if options.out and options.out.exists():
        before = json.loads(options.out.read_text())
        if before["command"] == page["command"]:
            page["rows"] = before["rows"]
    done = [row["network"] for row in page["rows"]]
    for name in [name for name in options.networks.split(",") if name not in done]:
        # In a process of its own: converters keep gigabytes.
        words = [__file__, "--row", f"--networks={name}", f"--size={options.size}"]
        page["rows"].append(
            programs.answer([sys.executable, *words, f"--formats={options.formats}"])
        )
        print(page["rows"][-1], flush=True)
        page["rows"].sort(key=lambda row: list(models.MODELS).index(row["network"]))
        if options.out:
            pages.write(page, options.out)


def tried(name: str, options: argparse.Namespace) -> dict:
    """Returns, for each format, how far a network's file is from it, or why there is none."""
    size = options.size
    model = models.create(name, classes=len(CLASSES))
    draw = np.random.default_rng(0)
    batches = [draw.integers(0, 256, (n, size, size, 3), dtype=np.uint8) for n in (1, 3)]
    pixels = jnp.zeros((1, size, size, 3))
    init = jax.jit(lambda: model.init(jax.random.key(0), pixels, train=False))
    variables = jax.tree.map(np.asarray, init())
    # Not as constants, which take XLA many times their size.
    apply = jax.jit(lambda variables, x: model.apply(variables, x / 255, train=False))
    logits = [np.asarray(apply(variables, batch.astype(np.float32))) for batch in batches]
    largest = max(np.abs(each).max() for each in logits)
    expected = [np.asarray(jax.nn.softmax(each / largest)) for each in logits]

    def answer(images: jax.Array) -> dict[str, jax.Array]:
        with portable.tracing():
            logits = model.apply(variables, images.astype(jnp.float32) / 255, train=False)
        return {PROBABILITIES: jax.nn.softmax(logits / largest)}

    page = {"use": "", "classes": list(CLASSES)}
    served = Servable(None, answer, ImageSize(size, size), CLASSES, (PROBABILITIES,), page)
    row: dict = {"network": name}
    for form in options.formats.split(","):
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = FORMATS[form].written(served, Path(folder), lambda: batches[1])
                runtime = FORMATS[form].runtime(path)
                found = [runtime(batch)[PROBABILITIES] for batch in batches]
            except Exception as error:  # told in the table, not here
                row[form] = {"failed": str(error).partition("\n")[0]}
                continue
            row[form] = {
                "difference": float(
                    max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True))
                ),
                "bytes": path.stat().st_size,
                "seconds": time.perf_counter() - began,
            }
    return row


def table(page: dict) -> str:
    """Returns the page as Markdown."""
    formats = [key for key in page["rows"][0] if key != "network"]
    head = ["network", *(f"`{form}` differs by" for form in formats), "size of `model.onnx`"]
    lines = [f"| {' | '.join(head)} |", f"|---{'|--:' * (len(head) - 1)}|"]
    failed = []
    for row in page["rows"]:
        cells = [row["network"]]
        for form in formats:
            if "failed" in row[form]:
                failed.append(f"`{form}` of {row['network']}: {row[form]['failed']}")
                cells.append("fails")
            else:
                cells.append(f"{row[form]['difference']:.0e}")
        cells.append(f"{row['onnx']['bytes'] / 1e6:,.1f} MB" if "bytes" in row["onnx"] else "")
        lines.append(f"| {' | '.join(cells)} |")
    said = [
        "The largest difference of a probability from the network's own: random weights, "
        f"{len(CLASSES)} classes, random pictures of {page['image_size']} px, batches of one and "
        "of three.",
        *failed,
        pages.measured(page),
    ]
    return "\n".join([*lines, "", " ".join(said)])


if __name__ == "__main__":
    main()
