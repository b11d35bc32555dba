"""Weights of Keras's VGG, ResNet and ConvNeXt give the logits that they give in Keras."""

import jax
import keras_applications as reference
import numpy as np
import pytest

from bcjax.engine import network
from bcjax.models.layers import adaptive_average_pool

pytestmark = [
    pytest.mark.slow,
    # Of Keras itself, with numpy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.mark.parametrize(
    ("application", "name", "suffix"),
    [
        ("ResNet50", "resnet50", ".h5"),
        ("ConvNeXtTiny", "convnext_tiny", ".keras"),
        ("ConvNeXtBase", "convnext_base", ".weights.h5"),
    ],
)
def test_logits_agree_with_keras_at_even_and_odd_sizes(application, name, suffix, tmp_path):
    reference.check_parity(application, name, tmp_path / f"model{suffix}", sizes=(64, 75))


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
def test_the_maps_of_a_vgg_agree_with_keras(suffix, tmp_path):
    size, file = 40, tmp_path / f"model{suffix}"
    model = reference.build("VGG16", size, include_top=False)
    reference.save(model, file)
    weights = reference.imported(file, "vgg16", size, head="drop")
    ours = network.build(weights.config, 7)
    pictures = reference.pictures(size)
    seen = reference.keras.applications.vgg16.preprocess_input(pictures.copy())
    expected = np.asarray(adaptive_average_pool(reference.logits(model, seen), 7)).reshape(2, -1)
    mean, std = (np.asarray(weights.config.model[key], np.float32) for key in ("mean", "std"))
    apply = jax.jit(lambda variables, x: ours.apply(variables, x, method="features"))
    found = apply(weights.variables, (pictures / 255 - mean) / std)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert np.abs(expected[0] - expected[1]).max() > 0.05 * np.abs(expected).max()
