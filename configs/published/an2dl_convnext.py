"""AN2DL 2024, 8 classes at 96 px: ConvNeXt-S, B and L fine-tuned in two phases, and a custom CNN.

    bcjax train --config=published/an2dl_convnext:small --config.data.source=training_set.npz

:custom is the baseline from scratch; :small, :base and :large want `--config.model.weights=FILE`.

published:
- Pictures of 96 px; memes and doubles are left out.
- Balanced by augmentation to 42,000 pictures an epoch, 5,250 of each class.
- CutMix, MixUp, RandAugment, GridMask, CutOut, and a random share with the cell alone.
- A classifier with 1,024 and 512 units, dropout 0.35, L1 and L2 of 1e-3.
- Batches of 256, AdamW with a learning rate of 1e-3 and a weight decay of 1e-5.
- First the classifier, then the last 25 to 40 % of the layers (30 % here), with early stopping
  after 4 epochs without gain in the second phase.
- Validated on pictures under RandAugment, applied to 70 % of them.

ours, for they say nothing:
- The epochs of each phase, the shares and strengths of the augmentations, and the reduction of the
  learning rate to a fifth after 4 epochs without gain.
- The drop path of ConvNeXt's own fine-tuning: 0.1, 0.2 and 0.3 for S, B and L.
- The four stages of :custom, which is `custom_cnn`.

not as published, for it is a mistake:
- The best checkpoint is chosen by clean pictures; figures under RandAugment stand beside them.
  `--config.checkpoint.best_under="rand_augment(2, 9, rate=0.7)"` chooses as they did.
"""

from bcjax import config as configs

UNDER = "rand_augment(2, 9, rate=0.7)"
# The drop path that the authors of ConvNeXt fine-tune with.
_DROP_PATH = {"custom": None, "small": 0.1, "base": 0.2, "large": 0.3}


def get_config(variant: str = "small"):
    config = configs.default()
    config.data.source = "training_set.npz"
    config.data.image_size = 96
    config.data.resize = "squash"
    config.data.drop = ("conflicts", "copies", "duplicates")
    config.model.drop_path = configs.choose(variant, _DROP_PATH)
    config.model.hidden = (1024, 512)
    config.model.dropout = 0.35
    config.model.l1 = config.model.l2 = 1e-3
    config.augment.ops = (
        "flip", "turn", "cell_mask(p=0.2)", "rand_augment(2, 9, rate=0.7)", "grid_mask(p=0.2)",
        "cutout(p=0.2)", "one_of(mixup(0.2), cutmix(1.0), p=0.5)",
    )  # fmt: skip
    config.train.sampling = "balanced"
    config.train.epoch_size = 42_000
    config.train.batch_size = 256
    config.train.length = "30 epochs"
    config.train.patience = 4
    config.optim.lr = 1e-3
    config.optim.weight_decay = 1e-5
    config.optim.schedule = "constant"
    config.optim.plateau.patience = 4
    config.optim.plateau.factor = 0.2
    config.eval.also = (UNDER,)
    if variant == "custom":
        config.model.name = "custom_cnn"
        return config
    config.model.name = f"convnext_{variant}"
    config.finetune.first.length = "20 epochs"
    config.finetune.first.trainable = "head"
    config.finetune.trainable = "last 30%"
    return config
