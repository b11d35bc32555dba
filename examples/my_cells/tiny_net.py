"""Trains the package's own network with its own augmentation, optimizer, loss, ..."""

from bcjax import config as configs


def get_config():
    """Returns the config."""
    config = configs.default()
    config.imports = ("my_cells.networks", "my_cells.training")
    config.data.source = "synthetic"  # drawn cells, to try it out
    config.data.image_size = 32
    config.model.name = "tiny_net"
    config.augment.ops = ("flip", "turn", "fade(0.3, p=0.5)")
    config.optim.name = "sign_descent"
    config.optim.schedule = "inverse_sqrt"
    config.train.loss = "squared"
    config.train.callbacks = ("write_line",)
    config.checkpoint.best = "worst_recall"
    return config
