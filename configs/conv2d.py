"""The conv2d template of small devices: widths 16, 32, 64, 128, a dense layer on the last map."""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.model.name = "conv2d"
    config.train.batch_size = 32
    config.optim.lr = 5e-4
    return config
