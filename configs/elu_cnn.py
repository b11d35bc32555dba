"""The ELU CNN, 15 convolutional and 2 dense layers, from scratch.

published/elu_resnet50 has the optimizers that a project compared with it.
"""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.model.name = "elu_cnn"
    config.train.batch_size = 32
    config.train.length = "8 epochs"
    config.train.label_smoothing = 0.1
    config.train.log_every = "100 steps"
    config.optim.warmup = "1 epoch"
    config.optim.clip_norm = 1.0  # there is no normalisation in the network to tame the gradient
    return config
