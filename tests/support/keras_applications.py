"""Keras applications with random variables: the reference that imported weights are held to."""

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

os.environ["KERAS_BACKEND"] = "jax"  # before keras is imported

import jax
import keras
import numpy as np

from bcjax import config as configs
from bcjax.engine import network, weights

CLASSES = 7


# Of the kernels, times their fan-in. With less, random networks forget the picture on the way;
# with more, those with squeeze-and-excitation magnify float32's rounding beyond every tolerance.
_VARIANCE = {"EfficientNetB0": 2.2, "EfficientNetB3": 1.65}


def build(name: str, size: int, **options: Any) -> keras.Model:
    """Builds an application for square pictures, with the same variables each time."""
    options = {"classes": CLASSES, "classifier_activation": None, **options}
    with _drawn(_VARIANCE.get(name, 2.0)):
        application = getattr(keras.applications, name)
        model = application(weights=None, input_shape=(size, size, 3), **options)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.variables:
            variables = (0.5, 0.4, 0.3), (0.04, 0.05, 0.06), 1
            layer.set_weights([np.asarray(v, np.float32) for v in variables])
            layer.finalize_state()
    return model


@contextlib.contextmanager
def _drawn(variance: float) -> Iterator[None]:
    """Within, every variable is drawn: kernels, biases, scales and batch statistics alike.

    By numpy: Keras would compile a program for each shape.
    """
    rng = np.random.default_rng(0)

    def kernel(self: Any, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        height, width, inputs, outputs = (1,) * (4 - len(shape)) + tuple(shape)
        fan_in = height * width * (1 if outputs == 1 else inputs)  # (h, w, C, 1) is depthwise
        return rng.normal(0, math.sqrt(variance / fan_in), shape).astype(np.float32)

    def about_zero(self: Any, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        return rng.normal(0, 0.1, shape).astype(np.float32)

    def about_one(self: Any, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)

    with contextlib.ExitStack() as patches:
        for initializer, draw in (
            (keras.initializers.VarianceScaling, kernel),
            (keras.initializers.Zeros, about_zero),
            (keras.initializers.Ones, about_one),
            (keras.initializers.Constant, about_one),  # ConvNeXt's layer scale
        ):
            patches.enter_context(mock.patch.object(initializer, "__call__", draw))
        yield


def check_parity(
    application: str, name: str, file: Path, sizes: tuple[int, ...], **options: Any
) -> None:
    """Asserts that our network, with the variables of a file, gives the logits of Keras's.

    Args:
      application: Keras's name of it.
      name: Ours.
      file: Where it is saved in between; the suffix says how.
      sizes: Of pictures; the file is saved at the first.
      **options: Of both.
    """
    for size in sizes:
        model = build(application, size, **options)
        if size == sizes[0]:
            save(model, file)
            weights = imported(file, name, size, **options)
        prepared = _PREPARED.get(application, np.copy)(pictures(size))
        expected, got = logits(model, prepared), our_logits(weights, pictures(size))
        largest = np.abs(expected).max()
        assert np.abs(got - expected).max() <= 1e-4 * largest, f"{application} at {size}"
        assert np.abs(expected[0] - expected[1]).max() > 0.05 * largest  # they matter


def save(model: keras.Model, file: Path) -> None:
    if file.name.endswith(".weights.h5"):
        model.save_weights(file)
    else:
        model.save(file)


# What users of an application have to do with pictures of 0..255; the others do it inside.
_PREPARED = {
    "ResNet50": lambda pictures: keras.applications.resnet.preprocess_input(pictures.copy()),
    "MobileNet": lambda pictures: keras.applications.mobilenet.preprocess_input(pictures.copy()),
    "MobileNetV2": lambda p: keras.applications.mobilenet_v2.preprocess_input(p.copy()),
}


def pictures(size: int) -> np.ndarray:
    """Two pictures of coloured tiles, in 0..255."""
    tiles = np.random.default_rng(1).uniform(0, 255, (2, 6, 6, 3)).astype(np.float32)
    return tiles.repeat(16, axis=1).repeat(16, axis=2)[:, :size, :size]


# What runs once is not worth optimising.
_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def logits(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """What a model says of pictures, compiled as one program."""

    @_jit
    def apply(trainable: list[Any], rest: list[Any], pictures: jax.Array) -> jax.Array:
        return model.stateless_call(trainable, rest, pictures, training=False)[0]

    variables = model.trainable_variables, model.non_trainable_variables
    return np.asarray(apply(*([v.value for v in some] for some in variables), pictures))


def imported(file: Path, name: str, size: int, *, head: str = "keep", **options: Any) -> Any:
    """Reads a file for a network of the table."""
    config = configs.default()
    config.model.update({"name": name, "weights_head": head, **options})
    config.data.image_size = size
    return weights.read(file, config)


def our_logits(weights: weights.ImportedWeights, pictures: np.ndarray) -> np.ndarray:
    """What our network says of pictures in 0..255 with imported weights, their settings obeyed."""
    mean, std = (np.asarray(weights.config.model[key], np.float32) for key in ("mean", "std"))
    model = network.build(weights.config, weights.outputs)
    return np.asarray(_jit(model.apply)(weights.variables, (pictures / 255 - mean) / std))
