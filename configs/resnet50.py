"""ResNet-50 from scratch."""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.model.name = "resnet50"
    config.train.label_smoothing = 0.1
    config.optim.lr = 1e-3
    config.optim.warmup = "1 epoch"
    return config
