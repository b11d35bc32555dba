"""A config whose network is its own: small, with batch norm, quick to compile and to save."""

import jax.numpy as jnp
from flax import linen as nn

from bcjax import config as configs
from bcjax import models


class NormNet(nn.Module):
    classes: int
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train=False):
        x = images.astype(self.dtype)
        for width in (16, 32):
            x = nn.Conv(width, (3, 3), 2, use_bias=False, dtype=self.dtype)(x)
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype)(x)
            x = nn.relu(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x.mean(axis=(1, 2)))
        return nn.Dense(self.classes)(x)


models.MODELS["norm_net"] = models.NetworkInfo(
    build=NormNet, input_size=32, parameters=0, macs=0, stages=(), paper="none"
)


def get_config():
    config = configs.default()
    config.model.name = "norm_net"
    config.data.source = "synthetic"
    config.data.synthetic_images = 80
    config.data.image_size = 32
    config.data.store = "host"
    config.train.batch_size = 8
    config.train.sampling = "balanced"
    config.augment.ops = ("flip", "rand_augment(1, 9, ops=(rotate, contrast))", "cutmix")
    config.optim.warmup = "3 steps"
    config.eval.report = False
    return config
