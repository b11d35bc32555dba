"""Weights of Keras's ResNet and ConvNeXt give the logits that they give in Keras."""

import keras_applications as reference
import pytest

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
