"""Augmentation beside torchvision's, in turns: flips, RandAugment, MixUp or CutMix, on a batch.

    python benchmarks/augment.py --peers=PEERS/bin/python --out=augment.json

`--peers` is a Python that has torch and torchvision. The same pictures in memory, as uint8, become
augmented float batches with soft labels on either side. torchvision's figure is the better of one
process with PyTorch's threads and of one DataLoader worker for each core. Each figure is the median
over the turns, and the ratio the median of the turns' ratios.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import page as pages
from programs import answer, versions

from bcjax.augment import mix
from bcjax.augment.policy import build
from bcjax.data import decode
from bcjax.data.sources import synthetic
from bcjax.engine.step import step_key, to_float
from bcjax.runtime import memory

BATCH, SIZE = 64, 96
OPS = ("flip", "rand_augment(2, 9)", "one_of(mixup(0.2), cutmix(1.0))")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, help="Python with torch and torchvision")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batches", type=int, default=30, help="timed batches in a turn")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    memory.keep_freed()

    drawn = synthetic.source(4 * BATCH, size=SIZE).records
    pictures = np.stack([decode.decode(record.read()) for record in drawn])
    peer = Path(__file__).with_name("augment_peer.py")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.npy"
        np.save(path, pictures)
        command = [options.peers, str(peer), f"--pictures={path}", f"--batches={options.batches}"]
        ours = _ours(pictures, options.dtype)
        turns = [_turn(ours(options.batches), answer(command)) for _ in range(options.turns)]
    rates = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    ratios = [turn["bcjax"] / max(turn["in_process"], turn["with_workers"]) for turn in turns]
    page = pages.begin(**versions(options.peers, ("torch", "torchvision"))) | {
        "ops": OPS,
        "batch": BATCH,
        "image_size": SIZE,
        "dtype": options.dtype,
        "images_per_s": rates,
        "ratio": statistics.median(ratios),
        "turns": turns,
    }
    pages.write(page, options.out)
    print(table(page))


def table(page: dict) -> str:
    """The page as Markdown."""
    rates = page["images_per_s"]
    return "\n".join(
        [
            "| augmentation, images/s | bcjax | torchvision, one process | torchvision, a worker "
            "for each core | ratio to the better |",
            "|---|---|---|---|---|",
            f"| {', '.join(page['ops'])}; {page['batch']} uint8 pictures of {page['image_size']} "
            f"px to {page['dtype']} | {rates['bcjax']:,.0f} | {rates['in_process']:,.0f} "
            f"| {rates['with_workers']:,.0f} | {page['ratio']:.1f} |",
            "",
            f"Medians of {len(page['turns'])} turns. {pages.measured(page)}",
        ]
    )


def _turn(ours: float, theirs: dict) -> dict[str, float]:
    return {"bcjax": ours, **{way: theirs[way] for way in ("in_process", "with_workers")}}


def _ours(pictures: np.ndarray, dtype: str):
    policy = build(OPS)

    @jax.jit
    def augmented(key, images, labels, index, numbers):
        images, share = policy(key, to_float(images, dtype), index, numbers)
        return images, mix.soft_labels(labels, share, 8)

    def rate(batches: int) -> float:
        times = []
        for i in range(batches + 1):
            index = (i * BATCH + np.arange(BATCH, dtype=np.int32)) % len(pictures)
            images = pictures[index]
            began = time.perf_counter()
            key = step_key(0, i)
            done = augmented(key, images, index % 8, index, policy.numbers)
            jax.block_until_ready(done)
            times.append(time.perf_counter() - began)
        return BATCH / statistics.median(times[1:])

    return rate


if __name__ == "__main__":
    main()
