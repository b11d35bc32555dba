"""The other side of latency.py: one network's answers, by PyTorch and by ONNX Runtime.

Run by the Python of an environment with torch, timm, onnx and onnxruntime; it knows nothing of
bcjax. From normalised float pictures in memory to logits, float32, random weights.

  PEERS/bin/python benchmarks/latency_peer.py --model=resnet50 --size=96 --batches=1,8,32
"""

import argparse
import contextlib
import functools
import io
import json
import os
import time
import warnings
from collections.abc import Callable

with contextlib.suppress(ImportError):
    import torchvision_ops  # noqa: F401  # where torchvision comes without its compiled operators

import numpy as np
import onnxruntime
import timm
import torch

CLASSES = 8

_CALLS, _LEAST_CALLS, _SECONDS = 200, 20, 5.0  # as in bcjax/benchmark/predict.py


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="timm's name")
    parser.add_argument("--size", type=int, required=True, help="of a picture's sides, px")
    parser.add_argument("--batches", required=True)
    options = parser.parse_args()
    threads = os.cpu_count() or 1
    torch.set_num_threads(threads)

    model = timm.create_model(options.model, num_classes=CLASSES).eval()
    session = _session(model, threads)
    told: dict[str, dict] = {"pytorch": {"batches": []}, "onnxruntime": {"batches": []}}
    for batch in map(int, options.batches.split(",")):
        draw = np.random.default_rng(0)
        images = draw.standard_normal((batch, 3, options.size, options.size), np.float32)
        ways: dict[str, Callable[[], object]] = {
            "pytorch": _eager(model, images),
            "onnxruntime": functools.partial(session.run, None, {"images": images}),
        }
        for side, answer in ways.items():
            told[side]["batches"].append({"batch_size": batch} | _timed(answer, batch))
    print(json.dumps(told))


def _eager(model: torch.nn.Module, images: np.ndarray) -> Callable[[], object]:
    """PyTorch without a compiler, in the faster of its two layouts, as five calls of each tell."""

    def way(layout: torch.memory_format) -> Callable[[], object]:
        pictures = torch.from_numpy(images).contiguous(memory_format=layout)

        def answer() -> torch.Tensor:
            with torch.inference_mode():
                return model(pictures)

        return answer

    trials = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        model.to(memory_format=layout)
        answer = way(layout)
        answer()
        trials[layout] = min(_seconds(answer) for _ in range(5))
    best = min(trials, key=trials.__getitem__)
    model.to(memory_format=best)
    return way(best)


def _session(model: torch.nn.Module, threads: int) -> onnxruntime.InferenceSession:
    """ONNX Runtime with all of its graph optimisations, for pictures of any size and number."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter, which needs no further package
        torch.onnx.export(
            model,
            (torch.zeros(2, 3, 96, 96),),
            file,
            dynamo=False,
            input_names=["images"],
            dynamic_axes={"images": {0: "batch", 2: "height", 3: "width"}},
        )
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        file.getvalue(), settings, providers=["CPUExecutionProvider"]
    )


def _timed(answer: Callable[[], object], batch: int) -> dict:
    answer()
    times = [_seconds(answer)]
    while len(times) < _LEAST_CALLS or (len(times) < _CALLS and sum(times) < _SECONDS):
        times.append(_seconds(answer))
    p50, p99 = map(float, np.percentile(times, (50, 99)))
    return {
        "p50_ms": 1e3 * p50,
        "p99_ms": 1e3 * p99,
        "images_per_s": batch / p50,
        "calls": len(times),
    }


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
