"""Layer-wise learning-rate decay: the nearer to the picture, the smaller the steps.

Bao et al., BEiT, ICLR 2022 (arXiv:2106.08254); after Clark et al., ELECTRA (arXiv:2003.10555).
"""

import re
from collections.abc import Sequence

import jax
import optax

_BLOCK = re.compile(r"[^/]+/block(\d+)/")


def scales(paths: Sequence[str], decay: float) -> dict[str, float]:
    """Returns the factor on the learning rate of each parameter, decay ** depth.

    Depth counts blocks from the classifier's, which is at 0. A stage without blocks is one, and
    what a stage holds beside its blocks (a downsampling, a shortcut) goes with the first.

    Args:
      paths: Of all parameters of the network, its stages in forward order.
      decay: In (0, 1].
    """
    stages = list(dict.fromkeys(path.partition("/")[0] for path in paths))

    def place(path: str) -> tuple[int, int]:
        block = _BLOCK.match(path)
        return stages.index(path.partition("/")[0]), int(block[1]) if block else 1

    downward = sorted({place(path) for path in paths}, reverse=True)
    return {path: decay ** downward.index(place(path)) for path in paths}


def scale_by_layer(scales: dict[str, float]) -> optax.GradientTransformation:
    """Multiplies the update of each parameter by the factor at its path.

    After the learning rate, in which updates are linear: so this scales the rate.
    """

    def scale(updates: optax.Updates, params: optax.Params | None) -> optax.Updates:
        del params
        return jax.tree.map_with_path(
            lambda path, update: (
                update * scales[jax.tree_util.keystr(path, simple=True, separator="/")]
            ),
            updates,
        )

    return optax.stateless(scale)
