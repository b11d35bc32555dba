"""The ELU CNN of Kandel and Castelli (2020), trained from scratch."""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.model.name = "elu_cnn"
    return config
