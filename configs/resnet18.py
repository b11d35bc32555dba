"""ResNet-18 from scratch; :small swaps in the stem for pictures of 28 to 64 px."""

from bcjax import config as configs


def get_config(variant: str = ""):
    config = configs.default()
    config.model.name = "resnet18"
    config.model.small_stem = configs.choose(variant, {"": False, "small": True})
    config.train.label_smoothing = 0.1
    config.optim.lr = 2e-3
    config.optim.warmup = "1 epoch"
    return config
