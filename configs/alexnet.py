"""AlexNet (one tower) from scratch, or from model.weights."""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.data.image_size = 224
    config.model.name = "alexnet"
    config.optim.lr = 3e-4
    config.optim.warmup = "1 epoch"
    config.optim.clip_norm = 1.0  # there is no normalisation in the network to tame the gradient
    return config
