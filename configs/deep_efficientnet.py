"""DeepEfficientNet from scratch; published/pbc3200 is the whole recipe that came with it."""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.data.image_size = 224
    config.model.name = "deep_efficientnet"
    config.train.batch_size = 32
    config.train.length = "50 epochs"
    config.train.label_smoothing = 0.1
    config.optim.lr = 1e-3
    config.optim.final_lr_fraction = 1e-3  # a cosine down to 1e-6
    config.optim.weight_decay = 1e-4
    config.optim.clip_norm = 1.0
    return config
