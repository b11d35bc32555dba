"""All operations on one picture, by name."""

from bcjax.augment import colour, elastic, erase, filters, geometry, quadrants, stain, tone
from bcjax.augment.op import Op

OPS: dict[str, Op] = {
    **geometry.OPS, **elastic.OPS, **colour.OPS, **tone.OPS, **filters.OPS, **stain.OPS,
    **erase.OPS, **quadrants.OPS,
}  # fmt: skip

# What RandAugment's paper chooses from, beside nothing at all.
PAPER_OPS = (
    "autocontrast", "equalise", "rotate", "solarise", "saturation", "posterise", "contrast",
    "brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip
