"""EfficientNet :b0 to :b7 and :lite0 to :lite4, from scratch or from model.weights, as published.

The number is the paper's phi: depth, width, dropout and the side of the pictures, 224 to 600 px,
grow together. A side of your own goes before: --config.data.image_size=96 is much faster.
"""

from bcjax import config as configs


def get_config(variant: str = "b0"):
    from bcjax.models import MODELS  # here, because listing the configs shall not wait for JAX

    family = "efficientnet_"
    sides = {
        name.removeprefix(family): info.input_size
        for name, info in MODELS.items()
        if name.startswith(family)
    }
    config = configs.default()
    config.data.image_size = configs.choose(variant, sides)
    config.model.name = family + variant
    config.train.batch_size = 32
    config.train.length = "50 epochs"
    config.train.label_smoothing = 0.1
    config.optim.lr = 1e-3
    config.optim.clip_norm = 1.0
    config.optim.warmup = "2 epochs"
    return config
