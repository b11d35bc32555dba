"""MobileNetV2 as Edge Impulse fine-tunes it: 20 epochs of the classifier, 10 of the upper 65 %.

:a035_96 is the narrow one at 96 px, :a100_160 the whole one at 160 px. Both want model.weights.
"""

from bcjax import config as configs

# The network, the side of its pictures, and the units of the classifier's hidden layer.
VARIANTS = {"a035_96": ("mobilenet_v2_035", 96, 16), "a100_160": ("mobilenet_v2_100", 160, 64)}


def get_config(variant: str = "a035_96"):
    name, size, hidden = configs.choose(variant, VARIANTS)
    config = configs.default()
    config.data.image_size = size
    config.model.name = name
    config.model.hidden = (hidden,)
    config.model.dropout = 0.1
    config.finetune.first.length = "20 epochs"
    config.finetune.first.trainable = "head"
    config.finetune.first.lr = 5e-4
    config.finetune.trainable = "last 65%"
    config.train.batch_size = 32
    config.train.length = "10 epochs"
    config.optim.name = "adam"
    config.optim.lr = 4.5e-5
    config.optim.schedule = "constant"
    config.optim.weight_decay = 0.0
    return config
