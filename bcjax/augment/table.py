"""All operations on one picture, by name."""

from bcjax.augment import cell_mask, colour, erase, filters, geometry, mix
from bcjax.augment.op import Op
from bcjax.runtime.errors import UserError

OPS: dict[str, Op] = {**geometry.OPS, **colour.OPS, **filters.OPS, **erase.OPS, **cell_mask.OPS}

# What RandAugment's paper chooses from, besides leaving the picture unchanged.
PAPER_OPS = (
    "autocontrast", "equalise", "rotate", "solarise", "saturation", "posterise", "contrast",
    "brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip

# Names that a config may write and that are not operations on one picture.
CHOOSING = ("rand_augment", "trivial_augment")
MIXING = (*mix.MIXES, "one_of")


def register(name: str, op: Op) -> Op:
    """Adds an operation to the table, so that a config can name it.

    Args:
      name: The name in `augment.ops`, a Python identifier.
      op: The operation.

    Raises:
      UserError: The name is already taken, or is not a Python identifier.
    """
    if not name.isidentifier():
        raise UserError(f"An augmentation cannot be called {name!r}: choose a name like 'my_blur'.")
    if name in (*OPS, *CHOOSING, *MIXING):
        raise UserError(f"There already is an augmentation {name!r}: choose another name.")
    OPS[name] = op
    return op
