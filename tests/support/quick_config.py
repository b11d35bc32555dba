"""A config that trains in a blink, also in a process of its own: it brings its network along."""

import functools

from bcjax import config as configs
from bcjax.models import MODELS, NetworkInfo
from bcjax.models.plain_cnn import PlainCNN

NAME = "quick"


def get_config():
    MODELS[NAME] = NetworkInfo(
        functools.partial(PlainCNN, widths=(4,), flatten=False),
        input_size=16,
        parameters=0,
        macs=0,
        stages=("stage1", "head"),
        paper="",
    )
    c = configs.default()
    c.model.name = NAME
    c.data.source = "synthetic"
    c.data.image_size = 16
    c.data.synthetic_images = 80
    c.data.store = "host"
    c.augment.ops = ()
    c.optim.schedule = "constant"
    c.train.batch_size = 8
    c.train.length = "6 steps"
    c.eval.every = "2 steps"
    c.eval.resamples = 20
    c.checkpoint.every = "1 steps"
    return c
