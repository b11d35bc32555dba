"""The custom CNN baseline: four convolutions with batch norm, an average, two dense layers."""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.model.name = "custom_cnn"
    config.train.label_smoothing = 0.1
    config.optim.lr = 1e-3
    config.optim.warmup = "1 epoch"
    return config
