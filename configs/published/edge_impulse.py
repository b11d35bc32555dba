"""Edge Impulse's project on 4-class BCCD: MobileNetV2 at 160 px, MobileNetV1 at 96 px, a conv2d.

    bcjax train --config=published/edge_impulse:conv2d --config.data.source=dataset2-master

:mobilenet_v2_160 and :mobilenet_v1_96 want `--config.model.weights=FILE`; :conv2d starts afresh.

published:
- 80 % of the pictures for training, 20 % for testing.
- RGB; pictures are squashed to the square.
- MobileNetV2 of width 1.0 at 160 px, frozen, with 64 neurons before the answer; MobileNetV1 at
  96 px likewise; a network of convolutions with 16, 32, 64 and 128 filters.
- 20 cycles, learning rate 5e-4.

ours, for they say nothing:
- Adam, batch 32, a dropout of 0.1 in the classifier: the platform's own settings.
- MobileNetV1 of width 0.25, the platform's smallest.
- A fifth of the training pictures for validation, as the platform does.
- The pictures of 4-class BCCD are copies of few: they stay on one side of the split
  (data.group_by=copies), which the platform cannot do. `--config.data.group_by=none`
  `--config.data.allow_leaks=true` splits them at random, and every figure then says so.
"""

from bcjax import config as configs

# The network, the side of its pictures, and the units of the classifier's hidden layer.
_NETWORKS = {
    "mobilenet_v2_160": ("mobilenet_v2_100", 160, (64,)),
    "mobilenet_v1_96": ("mobilenet_v1_025", 96, (64,)),
    "conv2d": ("conv2d", 96, None),
}


def get_config(variant: str = "mobilenet_v2_160"):
    config = configs.default()
    config.model.name, config.data.image_size, config.model.hidden = configs.choose(
        variant, _NETWORKS
    )
    config.data.source = "dataset2-master"
    config.data.resize = "squash"
    config.data.resplit = True
    config.data.group_by = "copies"
    config.data.test_fraction = 0.2
    config.data.val_fraction = 0.16
    config.augment.ops = ()
    config.train.batch_size = 32
    config.train.length = "20 epochs"
    config.optim.name = "adam"
    config.optim.lr = 5e-4
    config.optim.schedule = "constant"
    config.optim.weight_decay = 0.0
    if variant != "conv2d":
        config.model.dropout = 0.1
        config.finetune.trainable = "head"
    return config
