"""PBC, 3,200 pictures of 8 classes: four networks from scratch by one recipe.

    bcjax train --config=published/pbc3200:deep_efficientnet --config.data.source=PBC3200

:simple_cnn, :resnet18, :efficientnet_lite and :deep_efficientnet, as perfect-cell-classification
(Sharif, 2025) names them. `pbc3200_ablations.py` beside this file holds its ablations.

published (README; its other documents differ, see the project's page in docs/):
- 224 px, 50 epochs, batch 32.
- AdamW, learning rate 1e-3, weight decay 1e-4, a cosine down to 1e-6.
- Label smoothing 0.1; the gradient is clipped to norm 1; drop path 0.2 and dropout 0.3 in
  DeepEfficientNet.
- Flips, rotation by 30 degrees, colour jitter, affine moves; mixed precision.
- All 3,200 pictures for training and validation; its 1,000 test pictures lie in a folder of their
  own: bcjax evaluate --data.source=TEST.
- DeepEfficientNet: squeeze-and-excitation in stages 3 and 4, PyTorch's arithmetic. It has 306,010
  parameters for 8 classes. Published are 1.84 million, six times as many: what was published of its
  layout leaves no place for the rest.

ours, for they say nothing:
- A fifth of the pictures for validation.
- Strengths of the jitter (0.2 in brightness, contrast and saturation, 0.05 turns of hue) and of the
  affine moves (a tenth of the side, 10 % in size).
- bfloat16 is the mixed precision.
"""

from bcjax import config as configs

_NETWORKS = {
    "simple_cnn": "simple_cnn",
    "resnet18": "resnet18",
    "efficientnet_lite": "cell_efficientnet_lite",
    "deep_efficientnet": "deep_efficientnet",
}


def get_config(variant: str = "deep_efficientnet"):
    config = configs.default()
    config.data.image_size = 224
    config.data.val_fraction = 0.2
    config.data.test_fraction = 0.0
    config.eval.final_split = "val"
    config.model.name = configs.choose(variant, _NETWORKS)
    config.model.dtype = "bfloat16"
    if variant == "deep_efficientnet":
        config.model.squeeze = (3, 4)
        config.model.dropout = 0.3
        config.model.drop_path = 0.2
    config.augment.ops = (
        "flip", "rotate(30)", "translate(0.1)", "scale(0.14)", "brightness(0.2)", "contrast(0.2)",
        "saturation(0.2)", "hue(0.05)",
    )  # fmt: skip
    config.train.batch_size = 32
    config.train.length = "50 epochs"
    config.train.label_smoothing = 0.1
    config.optim.lr = 1e-3
    config.optim.final_lr_fraction = 1e-3
    config.optim.weight_decay = 1e-4
    config.optim.clip_norm = 1.0
    return config
