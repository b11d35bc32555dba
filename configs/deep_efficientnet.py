"""DeepEfficientNet from scratch, by the recipe published with it for 3,200 PBC pictures.

It has 306,010 parameters for 8 classes. Published are 1.84 million, six times as many: what was
published of its layout leaves no place for the rest.
"""

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
