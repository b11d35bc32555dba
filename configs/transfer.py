"""MobileNetV2 at 96 px, fine-tuned from model.weights in a few epochs; :scratch starts afresh."""

from bcjax import config as configs


def get_config(variant: str = "weights"):
    config = configs.default()
    config.model.name = "mobilenet_v2"
    config.data.val_fraction = 0.1
    config.data.test_fraction = 0.25
    config.train.batch_size = 32
    config.train.length = "8 epochs"
    config.train.label_smoothing = 0.1
    config.optim.lr = configs.choose(variant, {"weights": 5e-4, "scratch": 1e-3})
    config.optim.warmup = "1 epoch"
    return config
