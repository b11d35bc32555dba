"""Weights of Keras's EfficientNets and MobileNets give the logits that they give in Keras."""

import keras_applications as reference
import pytest

pytestmark = [
    pytest.mark.slow,
    # Of Keras itself, with numpy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.mark.parametrize(
    ("application", "name", "suffix", "options"),
    [
        ("EfficientNetB0", "efficientnet_b0", ".keras", {}),
        ("EfficientNetB3", "efficientnet_b3", ".weights.h5", {}),
        ("MobileNet", "mobilenet_v1", ".h5", {}),
        ("MobileNetV2", "mobilenet_v2", ".weights.h5", {"alpha": 1.0}),
        ("MobileNetV2", "mobilenet_v2", ".h5", {"alpha": 0.35}),
    ],
)
def test_logits_agree_with_keras_at_even_and_odd_sizes(
    application, name, suffix, options, tmp_path
):
    path = tmp_path / f"model{suffix}"
    reference.check_parity(application, name, path, sizes=(64, 75), **options)
