"""The ELU CNN of Kandel and Castelli (2020), trained from scratch."""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.model.name = "elu_cnn"
    config.train.batch_size = 32
    config.train.length = "8 epochs"
    config.train.label_smoothing = 0.1
    config.train.log_every = "100 steps"
    config.optim.lr = 1e-3
    config.optim.warmup = "1 epoch"
    config.optim.clip_norm = 1.0  # there is no normalisation in the network to tame the gradient
    return config
