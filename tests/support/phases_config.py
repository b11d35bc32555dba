"""A run of two phases: the head on features computed once, then all but the first stage."""

import functools

from staged import Staged

from bcjax import config as configs
from bcjax import models

models.MODELS["staged"] = models.NetworkInfo(
    build=functools.partial(Staged, drop_path=0.1, dropout=0.1),
    input_size=32,
    parameters=0,
    macs=0,
    stages=("stage1", "stage2", "head"),
    paper="none",
)


def get_config():
    config = configs.default()
    config.model.name = "staged"
    config.data.source = "synthetic"
    config.data.synthetic_images = 80
    config.data.image_size = 32
    config.data.store = "host"
    config.augment.ops = ()
    config.finetune.first.length = "60 steps"
    config.finetune.first.lr = 0.01
    config.finetune.trainable = "stage2, head"
    config.finetune.layer_decay = 0.75
    config.optim.ema = 0.9
    config.optim.warmup = "3 steps"
    config.optim.plateau.patience = 2
    config.train.batch_size = 8
    config.train.length = "40 steps"
    config.train.log_every = "3 steps"
    config.checkpoint.every = "5 steps"
    config.eval.every = "10 steps"
    config.eval.report = False
    return config
