"""SimpleCNN (26,084,104 parameters at 224 px and 8 classes) from scratch."""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.data.image_size = 224
    config.model.name = "simple_cnn"
    config.train.batch_size = 32
    config.optim.lr = 3e-4
    return config
