"""ConvNeXt-Large from model.weights: first the classifier, then the last 30 % of the layers.

The recipe of published 4-class notebooks: a classifier of two hidden layers with dropout and L1L2,
balanced class weights, AdamW, early stopping and reduce-on-plateau.
"""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.data.image_size = 224
    config.model.name = "convnext_large"
    config.model.hidden = (1024, 512)
    config.model.dropout = 0.35
    config.model.drop_path = 0.3  # what its authors fine-tune with
    config.model.l1 = config.model.l2 = 1e-3
    config.finetune.first.length = "20 epochs"
    config.finetune.first.trainable = "head"
    config.finetune.first.patience = 4
    config.finetune.trainable = "last 30%"
    config.train.batch_size = 256
    config.train.length = "30 epochs"
    config.train.patience = 4
    config.train.class_weights = "balanced"
    config.optim.lr = 1e-3
    config.optim.weight_decay = 1e-5
    config.optim.schedule = "constant"
    config.optim.plateau.patience = 4
    config.optim.plateau.factor = 0.2
    return config
