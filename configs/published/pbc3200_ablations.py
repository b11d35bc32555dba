"""The published ablations of PBC, 3,200 pictures: seven parts, each left out and each alone.

    bcjax ablate --config=published/pbc3200 --switches=published/pbc3200_ablations \
        --config.data.source=PBC3200 --out=runs/ablation

These are 16 runs of DeepEfficientNet: with all parts, with none, without each, with each alone. The
three other networks have no squeeze-and-excitation: published/pbc3200:resnet18 has 12 runs.

published, in points of accuracy (perfect-cell-classification, Sharif, 2025):
- Squeeze-and-excitation: +2.5, mostly in the deep stages.
- Regularisation: +4.38; label smoothing alone: +1.9.
- The cosine schedule: +3.29 over one in steps.
- Augmentation: +3.6.

ours, for they say nothing:
- Stages 3 and 4 are switched one by one, which tells the deeper stage from the earlier one.
- Regularisation is dropout, drop path, weight decay and the clipped gradient, without the label
  smoothing, which is a part of its own.
- The schedule in steps drops to a tenth after half of the run, and again after three quarters.
- Augmentation is two parts: what moves a picture, and what changes its colours.
"""


def switches(config):
    parts = {
        "regularisation": {"optim.weight_decay": 0, "optim.clip_norm": 0},
        "label_smoothing": {"train.label_smoothing": 0},
        "cosine": {"optim.schedule": "step"},
        "moves": {"augment.ops": {"remove": ["flip", "rotate", "translate", "scale"]}},
        "colours": {"augment.ops": {"remove": ["brightness", "contrast", "saturation", "hue"]}},
    }
    if config.model.name == "deep_efficientnet":
        parts["regularisation"] |= {"model.dropout": 0, "model.drop_path": 0}
        parts["squeeze_3"] = {"model.squeeze": {"remove": 3}}
        parts["squeeze_4"] = {"model.squeeze": {"remove": 4}}
    return parts
