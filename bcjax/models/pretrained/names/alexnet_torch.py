"""AlexNet's tensors in torchvision."""

from bcjax.models.pretrained.layout import Layout, Tensors
from bcjax.models.pretrained.names.torch import IMAGENET, kernel

# Where a Sequential keeps the layers between its activations and dropouts.
_STAGES = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
_DENSE = {1: "dense1", 4: "dense2", 6: "logits"}

_FLATTENED = "params/head/dense1/kernel"


def _rows_last(tensors: Tensors) -> Tensors:
    """PyTorch flattens the 6x6 map of 256 channels channel by channel; we pixel by pixel."""
    changed = dict(tensors)
    if (dense := changed.get(_FLATTENED)) is not None and len(dense) == 256 * 36:
        rows = dense.reshape(256, 6, 6, -1).transpose(1, 2, 0, 3)
        changed[_FLATTENED] = rows.reshape(dense.shape)
    return changed


LAYOUTS = (
    Layout(
        source="torchvision",
        convention="torch",
        rules=(
            kernel(r"features\.(0|3|6|8|10)", lambda i: f"stage{_STAGES[i]}/conv"),
            kernel(r"classifier\.(1|4|6)", lambda i: f"head/{_DENSE[i]}"),
        ),
        finish=_rows_last,
        settings=IMAGENET,
    ),
)
