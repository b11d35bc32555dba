"""MobileNetV1 at a quarter of its width and 96 px, the template of small devices."""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.model.name = "mobilenet_v1_025"
    config.train.batch_size = 32
    config.optim.lr = 5e-4
    config.optim.warmup = "1 epoch"
    return config
