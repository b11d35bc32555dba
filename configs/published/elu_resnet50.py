"""4-class BCCD: an ELU CNN under three optimizers, and ResNet-50 frozen, in part and whole.

    bcjax train --config=published/elu_resnet50:adam --config.data.source=dataset2-master

A student project that compares activations and optimizers after Kandel and Castelli (2020).

:adam, :rmsprop, :sgd, :sgd_dropout are its models 1 to 4; :resnet50_frozen, :resnet50_partial and
:resnet50_full want `--config.model.weights=RESNET50`.

published:
- The pictures of all four folders are merged, about 12,500, and split anew.
- The network of 15 convolutional and 2 dense layers, with ELU.
- Adam, RMSprop and SGD; with SGD once more, two dropouts in the classifier. No other model has any.
- ResNet-50 with ImageNet weights: the classifier alone, the last layers, all layers.

ours, for they say nothing:
- Filters and dense widths of the network, see `bcjax/models/elu_cnn.py`.
- Learning rates, momentum 0.9, batch 32, 20 epochs, 96 px, a dropout of 0.5, ImageNet weights of
  any file, 30 % of the layers for "the last layers"; a gradient clipped to norm 1, because nothing
  in the network normalises.
- Shares of 15 % for validation and for testing.

not as published, for it is a mistake:
- The 12,500 pictures are augmented copies of a few hundred. Copies stay on one side of the split.
  `--config.data.group_by=none --config.data.allow_leaks=true` splits them at random as the project
  did; every figure then says so.
"""

from bcjax import config as configs

_OPTIMIZERS = {
    "adam": ("adam", 1e-3, 0.0),
    "rmsprop": ("rmsprop", 5e-4, 0.0),
    "sgd": ("sgd", 2e-2, 0.0),
    "sgd_dropout": ("sgd", 2e-2, 0.5),
}
_TRAINABLE = {"resnet50_frozen": "head", "resnet50_partial": "last 30%", "resnet50_full": "all"}


def get_config(variant: str = "adam"):
    config = configs.default()
    config.data.source = "dataset2-master"
    config.data.resplit = True
    config.data.group_by = "copies"
    config.train.batch_size = 32
    config.train.length = "20 epochs"
    config.optim.schedule = "constant"
    config.optim.weight_decay = 0.0
    config.augment.ops = ()
    if configs.choose(variant, {**_OPTIMIZERS, **_TRAINABLE}) in _TRAINABLE.values():
        config.model.name = "resnet50"
        config.finetune.trainable = _TRAINABLE[variant]
        config.optim.name = "adam"
        config.optim.lr = 1e-4
    else:
        config.model.name = "elu_cnn"
        config.optim.name, config.optim.lr, config.model.dropout = _OPTIMIZERS[variant]
        config.optim.clip_norm = 1.0
    return config
