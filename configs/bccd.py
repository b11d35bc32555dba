"""Raw BCCD smears, one picture for each boxed white cell, cleaned as its notebooks do.

    bcjax train --config=configs/bccd.py --config.data.source=dataset-master

Four classes: basophils (3 in all), smears without a label or with several and a tenth of the
neutrophils are left out, and the rare classes are shown as often as the others.
"""

from bcjax import config as configs


def get_config():
    config = configs.default()
    config.data.source = "dataset-master"
    config.data.boxes = "crop"
    config.data.on_unlabelled = "drop"
    config.data.drop_classes = ("BASOPHIL",)
    config.data.keep = ("NEUTROPHIL=0.9",)
    config.model.name = "resnet18"
    config.train.sampling = "balanced"
    config.train.batch_size = 32
    config.train.length = "40 epochs"
    config.train.log_every = "50 steps"
    config.train.label_smoothing = 0.1
    config.augment.ops = (
        "flip", "turn", "resized_crop(0.3)", "brightness(0.1)", "contrast(0.1)", "stain_jitter",
    )  # fmt: skip
    config.optim.warmup = "2 epochs"
    config.eval.every = "4 epochs"
    config.checkpoint.every = "4 epochs"
    return config
