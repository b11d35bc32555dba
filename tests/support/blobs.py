"""Cells as cheap as can be, for the tests of curation: a stained disc with a nucleus, and noise."""

import functools

import cv2
import numpy as np

from bcjax.data.curate.measured_pictures import MeasuredPictures, measure
from bcjax.data.records import Record, Source


def blobs(count, seed=0, size=24):
    """uint8 (count, size, size, 3), no two of them alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    y, x = y[None], x[None]

    def inside(cx, cy, a, b, angle):
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        return ((u / a) ** 2 + (v / b) ** 2 < 1)[..., None]

    def some(low, high, *shape):
        return rng.uniform(low, high, (count, *(shape or (1, 1))))

    cx, cy = some(0.3, 0.7), some(0.3, 0.7)
    body = inside(cx, cy, some(0.2, 0.45), some(0.2, 0.45), some(0, 3.14))
    nucleus = inside(
        cx + some(-0.1, 0.1), cy + some(-0.1, 0.1), some(0.1, 0.3), some(0.08, 0.2), some(0, 3.14)
    )
    glass = np.array([235, 215, 215]) + some(-10, 10, 1, 1, 3)
    picture = np.where(body, glass - some(20, 110, 1, 1, 3), glass)
    picture = np.where(nucleus, np.array([90, 40, 140]) + some(-35, 35, 1, 1, 3), picture)
    noise = rng.normal(0, 5, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def png(pixels):
    return cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))[1].tobytes()


def record(id_, pixels, label=0, group="", split="", **columns):
    return Record(id_, label, functools.partial(png, pixels), group, split, columns)


def jpeg(id_, pixels, quality, **kwargs):
    """The same picture from a lossy file."""
    lossy = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return record(id_, cv2.imdecode(lossy, cv2.IMREAD_COLOR), **kwargs)


def pictures(records):
    return MeasuredPictures.from_measures(records, measure(records))


def source(records, classes=("a", "b"), **kwargs):
    return Source("list", "list", classes, records, "fingerprint", **kwargs)
