"""Under two minutes on two cores: a small network learns to tell drawn blood cells apart."""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.data.source = "synthetic"
    config.data.image_size = 72
    config.model.name = "elu_cnn"
    config.train.batch_size = 32
    config.train.length = "14 epochs"
    config.train.label_smoothing = 0.05
    config.optim.lr = 1.5e-3
    config.optim.warmup = "1 epoch"
    config.optim.clip_norm = 1.0
    config.eval.every = "3 epochs"
    config.checkpoint.every = "3 epochs"
    return config
