"""EfficientNet :b0 to :b7 and :lite0 to :lite4, from scratch or from model.weights, at 96 px.

Published sizes are 224 to 600 px (`bcjax models` lists them): --config.data.image_size=224.
"""

from bcjax import config as configs


def get_config(variant: str = "b0"):
    config = configs.default()
    config.model.name = f"efficientnet_{variant}"
    config.train.batch_size = 32
    config.train.length = "50 epochs"
    config.train.label_smoothing = 0.1
    config.optim.lr = 1e-3
    config.optim.clip_norm = 1.0
    config.optim.warmup = "2 epochs"
    return config
