"""What the tensors of published networks are called, and what shapes they have."""

import json

import numpy as np
from places import SUPPORT

from bcjax import models
from bcjax.config import ImageSize
from bcjax.models.pretrained import convert

PUBLISHED = json.loads((SUPPORT / "published_tensors.json").read_text())


def tensors_of(case):
    """The tensors, which take no memory."""
    return {name: np.broadcast_to(np.float32(1), s) for name, s in PUBLISHED[case].items()}


def of_network(name, **options):
    return convert.network_tensors(
        models.create(name, classes=1000, **options), ImageSize.of(64), 3
    )
