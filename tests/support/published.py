"""What the tensors of published networks are called, and what shapes they have."""

import json
import zlib

import numpy as np
from places import SUPPORT

from bcjax import models
from bcjax.config import ImageSize
from bcjax.models.pretrained import convert

PUBLISHED = json.loads((SUPPORT / "published_tensors.json").read_text())


def tensors_of(case):
    """The tensors, which take no memory."""
    return {name: np.broadcast_to(np.float32(1), s) for name, s in PUBLISHED[case].items()}


LOGITS = json.loads((SUPPORT / "published_logits.json").read_text())


def drawn_tensors(case):
    """The tensors with the numbers with which `LOGITS` was written: see benchmarks/peer.py."""
    return {name: _drawn(name, shape) for name, shape in PUBLISHED[case].items() if shape}


def _drawn(name, shape):
    numbers = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)
    if len(shape) in (2, 4):
        return numbers * np.float32((1.5 / np.prod(shape[1:])) ** 0.5)
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return 1 + 0.2 * np.abs(numbers)
    return 0.1 * numbers


def of_network(name, **options):
    return convert.network_tensors(
        models.create(name, classes=1000, **options), ImageSize.of(64), 3
    )
