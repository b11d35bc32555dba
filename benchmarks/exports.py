"""How long exported files take to answer in ONNX Runtime, beside those of timm's networks.

    python benchmarks/exports.py --out=benchmarks/results/exports.json

Both sides are ONNX files with random weights, opened by the same ONNX Runtime with all of its graph
optimisations, on all cores, and called in turn: one call of each, many times. Ours, as `bcjax
export` writes it, takes uint8 pictures and gives probabilities and logits; timm's, written by
PyTorch's exporter for batches of any size, takes normalised floats and gives logits. A ratio is the
median of the turns' ratios; above 1 ours is slower. It needs torch and timm in this environment.
"""

import argparse
import io
import statistics
import tempfile
import time
import warnings
from collections import Counter
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import page as pages

from bcjax import models
from bcjax.config import ImageSize
from bcjax.engine.step import normalise
from bcjax.exports import onnx_file
from bcjax.exports.servable import LOGITS, PROBABILITIES, Servable
from bcjax.models import portable

# Ours, and timm's name of the same network.
NETWORKS = {
    "mobilenet_v2": "mobilenetv2_100", "resnet50": "resnet50",
    "efficientnet_b0": "efficientnet_b0", "convnext_tiny": "convnext_tiny",
}  # fmt: skip
CLASSES = 8
_CALLS, _LEAST_CALLS, _SECONDS = 200, 10, 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--sizes", default="96,224", help="of a picture's sides, px")
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    libraries = ("torch", "timm", "onnxruntime")
    page = pages.begin(**{name: metadata.version(name) for name in libraries})
    page["rows"] = []
    for size in map(int, options.sizes.split(",")):
        for network in options.networks.split(","):
            ours, theirs = _ours(network, size), _theirs(NETWORKS[network])
            for batch in map(int, options.batches.split(",")):
                row = {"network": network, "image_size": size, "batch_size": batch}
                page["rows"].append(row | _compared(ours, theirs, size, batch))
                print(page["rows"][-1], flush=True)
                pages.write(page, options.out)


def _ours(name: str, size: int) -> bytes:
    model = models.create(name, classes=CLASSES)
    pixels = jnp.zeros((1, size, size, 3))
    init = jax.jit(lambda: model.init(jax.random.key(0), pixels, train=False))
    variables = jax.tree.map(np.asarray, init())
    mean, std = models.MODELS[name].mean, models.MODELS[name].std

    def answer(images: jax.Array) -> dict[str, jax.Array]:
        with portable.tracing():
            x = normalise(images.astype(jnp.float32) / 255, mean, std)
            logits = model.apply(variables, x, train=False)
        return {PROBABILITIES: jax.nn.softmax(logits), LOGITS: logits}

    classes = tuple(map(str, range(CLASSES)))
    outputs = (PROBABILITIES, LOGITS)
    served = Servable(None, answer, ImageSize(size, size), classes, outputs, {"use": ""})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx_file.write(served, path)
        return path.read_bytes()


def _theirs(name: str) -> bytes:
    import timm
    import torch

    model, file = timm.create_model(name, num_classes=CLASSES).eval(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter
        torch.onnx.export(
            model,
            (torch.zeros(2, 3, 96, 96),),
            file,
            dynamo=False,
            input_names=["images"],
            dynamic_axes={"images": {0: "batch", 2: "height", 3: "width"}},
        )
    return file.getvalue()


def _compared(ours: bytes, theirs: bytes, size: int, batch: int) -> dict:
    draw = np.random.default_rng(0)
    shape = (batch, 3, size, size)
    pictures = {
        "bcjax": draw.integers(0, 256, (batch, size, size, 3), dtype=np.uint8),
        "timm": draw.standard_normal(shape, np.float32),
    }
    sessions = {"bcjax": _session(ours), "timm": _session(theirs)}
    times: dict[str, list[float]] = {side: [] for side in sessions}
    began = time.perf_counter()
    while len(times["timm"]) < _LEAST_CALLS or (
        len(times["timm"]) < _CALLS and time.perf_counter() - began < _SECONDS
    ):
        for side, session in sessions.items():
            start = time.perf_counter()
            session.run(None, {"images": pictures[side]})
            times[side].append(time.perf_counter() - start)
    kept = {side: each[1:] for side, each in times.items()}  # the first call allocates
    ratios = [a / b for a, b in zip(kept["bcjax"], kept["timm"], strict=True)]
    return {
        "bcjax_ms": 1e3 * statistics.median(kept["bcjax"]),
        "timm_ms": 1e3 * statistics.median(kept["timm"]),
        "ratio": statistics.median(ratios),
        "calls": len(ratios),
        "nodes": {"bcjax": _nodes(ours), "timm": _nodes(theirs)},
    }


def _session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _nodes(content: bytes) -> dict[str, int]:
    counts = Counter(node.op_type for node in onnx.load_from_string(content).graph.node)
    return {"all": counts.total(), "Transpose": counts["Transpose"]}


def table(page: dict) -> str:
    """The page as Markdown."""
    lines = [
        "| network | px | batch | bcjax's file, ms | timm's file, ms | ratio |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['network']} | {row['image_size']} | {row['batch_size']} | {row['bcjax_ms']:.1f} | "
        f"{row['timm_ms']:.1f} | {row['ratio']:.2f} |"
        for row in page["rows"]
    ]
    return "\n".join([*lines, "", pages.measured(page)])


if __name__ == "__main__":
    main()
