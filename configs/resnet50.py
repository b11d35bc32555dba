"""ResNet-50, from scratch or from model.weights.

:full trains all of it, :partial the last 30 % of its layers, :frozen the classifier alone; the last
two want weights, such as --config.model.weights=resnet50.safetensors.
"""

from bcjax import config as configs

TRAINABLE = {"full": "all", "partial": "last 30%", "frozen": "head"}


def get_config(variant: str = "full"):
    config = configs.default()
    config.model.name = "resnet50"
    config.finetune.trainable = configs.choose(variant, TRAINABLE)
    config.train.label_smoothing = 0.1
    config.optim.lr = 1e-3
    config.optim.warmup = "1 epoch"
    return config
