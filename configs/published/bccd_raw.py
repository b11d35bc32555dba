"""Raw BCCD, whole smears of one white cell: ResNet, EfficientNet and AlexNet.

    bcjax train --config=published/bccd_raw:resnet --config.data.source=dataset-master

published:
- Whole smears, not cells cut out of them.
- Basophils, smears that name two cells, and rows without a label are left out.
- A tenth of the neutrophils is deleted.
- Pictures of the rare classes are shown several times.
- ResNet, EfficientNet and AlexNet, from ImageNet or from scratch.

ours, for they say nothing:
- ResNet-50, EfficientNet-B0; 224 px, AlexNet's least comfortable size.
- Each class is shown as often as the others ("several times", without copies in a folder).
- Batch 32, 40 epochs, AdamW 3e-4, label smoothing 0.1; flips and quarter turns.

The published repetition put copies into a folder before it was split, so that copies of one picture
were on both sides. Here the split comes first, and the repetition is in the order of the epoch.
"""

from bcjax import config as configs

_NETWORKS = {"resnet": "resnet50", "efficientnet": "efficientnet_b0", "alexnet": "alexnet"}


def get_config(variant: str = "resnet"):
    config = configs.default()
    config.data.source = "dataset-master"
    config.data.image_size = 224
    config.data.on_unlabelled = "drop"
    config.data.drop_classes = ("BASOPHIL",)
    config.data.keep = ("NEUTROPHIL=0.9",)
    config.model.name = configs.choose(variant, _NETWORKS)
    config.train.sampling = "balanced"
    config.train.batch_size = 32
    config.train.length = "40 epochs"
    config.train.log_every = "50 steps"
    config.train.label_smoothing = 0.1
    config.optim.lr = 3e-4
    config.optim.warmup = "2 epochs"
    config.optim.clip_norm = 1.0
    config.eval.every = "4 epochs"
    config.checkpoint.every = "4 epochs"
    return config
