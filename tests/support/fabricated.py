"""Folders of runs with known answers, written as training and evaluation write them."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from bcjax import config as configs
from bcjax import metrics
from bcjax.engine import network
from bcjax.evaluation import answers as answering
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.inference_cost import InferenceCost
from bcjax.runtime.training_sessions import Host, Session

# As the first report of a run measures it.
MEASURED = InferenceCost(
    hardware="Abacus 3000", p50_ms=1.25, p99_ms=12.5, calls=40, images_per_s=4321.0, batch_size=32,
    estimated_bytes=12_300_000, device_bytes=None, process_bytes=456_000_000,
)  # fmt: skip
CLASSES = ("basophil", "eosinophil", "monocyte")


def answers(correct, *, first=0, groups=None, classes=CLASSES) -> Answers:
    """Answers that are right where `correct` says so, to pictures numbered from `first`."""
    n, count = len(correct), len(classes)
    labels = np.arange(first, first + n) % count
    predicted = np.where(correct, labels, (labels + 1) % count)
    return Answers(
        classes=tuple(classes),
        ids=tuple(f"cell{first + i}.png" for i in range(n)),
        groups=("",) * n if groups is None else tuple(groups),
        labels=labels.astype(np.int32),
        logits=3 * np.eye(count, dtype=np.float32)[predicted],
    )


def run(workdir: Path, answered: Answers, *, rate=200.0, about=None, **settings) -> Path:
    """Writes the folder of a finished run and returns it.

    Args:
      workdir: The folder, new.
      answered: On its test split.
      rate: Median of its images/s; it trained for 6000 / rate seconds in two sessions.
      about: What else the evaluation says.
      **settings: Keys of its config, with __ for a dot.
    """
    config = configs.default()
    config.data.source, config.data.image_size, config.workdir = "synthetic", 16, str(workdir)
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in settings.items()})
    config = network.resolve(config)
    measured = metrics.measure(
        answered.probabilities(), answered.labels, answered.classes,
        groups=answered.groups, resamples=300,
    ).to_dict()  # fmt: skip
    result = {"split": "test", "checkpoint": 5, "source": "cells", "cautions": []}
    lines = [
        {"step": step, "train/loss": 9 / step, "train/images_per_s": rate + off}
        for step, off in ((3, -20), (4, 0), (5, 1))
    ]
    lines += [{"step": step, "val/accuracy": step / 10} for step in (3, 5)]
    session = Session(
        began="2026-01-01T00:00:00+00:00", seconds=3000 / rate,
        first_step=0, last_step=5, images=40,
        device="cpu", devices=1, processes=1, host=Host("abacus", 2, "Linux"),
        joules=None, joules_of=[], versions={},
    )  # fmt: skip
    sessions = [dataclasses.asdict(session)] * 2
    (workdir / "eval").mkdir(parents=True)
    configs.save(config, workdir / "config.json")
    answering.write(answered, workdir / "eval" / "test.parquet")
    for name, page in (
        ("pictures.json", {"path": "", "digest": "d0"}),
        ("inference_cost.json", MEASURED.to_dict()),
        ("eval/test.json", result | (about or {}) | measured),
    ):
        (workdir / name).write_text(json.dumps(page))
    for name, objects in (("metrics.jsonl", lines), ("sessions.jsonl", sessions)):
        (workdir / name).write_text("".join(json.dumps(each) + "\n" for each in objects))
    return workdir
