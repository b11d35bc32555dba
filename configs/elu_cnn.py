"""The ELU CNN of Kandel and Castelli (2020), from scratch, with the optimizers that they compared.

:adam, :rmsprop, :sgd, and :sgd_dropout, which adds the two dropouts of the classifier; without one
of those, AdamW.
"""

from bcjax import config as configs

# The optimizer, its learning rate, and the classifier's dropout.
VARIANTS = {
    "adamw": ("adamw", 1e-3, 0.0),
    "adam": ("adam", 1e-3, 0.0),
    "rmsprop": ("rmsprop", 5e-4, 0.0),
    "sgd": ("sgd", 2e-2, 0.0),
    "sgd_dropout": ("sgd", 2e-2, 0.5),
}


def get_config(variant: str = "adamw"):
    config = configs.default()
    config.model.name = "elu_cnn"
    config.optim.name, config.optim.lr, config.model.dropout = configs.choose(variant, VARIANTS)
    config.train.batch_size = 32
    config.train.length = "8 epochs"
    config.train.label_smoothing = 0.1
    config.train.log_every = "100 steps"
    config.optim.warmup = "1 epoch"
    config.optim.clip_norm = 1.0  # there is no normalisation in the network to tame the gradient
    return config
