"""How far explanations can be believed: do they depend on what was learnt, and show the cell?"""

import dataclasses
import math
from collections.abc import Sequence

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Bool, Float
from ml_collections import ConfigDict
from scipy import stats

from bcjax.config import ImageSize
from bcjax.data.input_transform import InputTransform
from bcjax.data.sources import synthetic
from bcjax.engine.network import RestoredNetwork
from bcjax.engine.state import Variables
from bcjax.evaluation.explanation.explainer import Explainer
from bcjax.evaluation.explanation.explanation import Explanation
from bcjax.evaluation.explanation.summary import Localisation, MapsOnCell, RandomisationTest
from bcjax.models import initialisers

_RANDOMISED = 4  # images whose maps are drawn again with random parameters


def randomisation_test(
    explainer: Explainer, network: RestoredNetwork, explanations: Sequence[Explanation]
) -> dict[str, RandomisationTest]:
    """Compares the maps of each method with those of the same network with random parameters."""
    config = network.config
    shape = (*ImageSize.of(config.data.image_size), config.model.channels)
    random = randomised(explainer.model, network.variables, shape)
    tests = {}
    for name in explainer.methods:
        correlations = [
            rank_correlation(one.maps[name], explainer(name, random, one.image.pixels, one.target))
            for one in explanations[:_RANDOMISED]
        ]
        defined = [value for value in correlations if value is not None]
        tests[name] = RandomisationTest(float(np.mean(defined)) if defined else None, len(defined))
    return tests


def localisation(
    network: RestoredNetwork, explanations: Sequence[Explanation]
) -> Localisation | None:
    """Measures how much of each method's maps lies on the cell; None for images not drawn."""
    data = network.config.data
    drawn = [one for one in explanations if one.image.label is not None]
    if data.source != "synthetic" or not drawn:
        return None
    masks = [cell_mask(one.image.id, data) for one in drawn]
    methods = {}
    for name in drawn[0].maps:
        pairs = [(one.maps[name], mask) for one, mask in zip(drawn, masks, strict=True)]
        methods[name] = MapsOnCell(
            energy=float(np.mean([energy_in_mask(*pair) for pair in pairs])),
            pointing=float(np.mean([maximum_in_mask(*pair) for pair in pairs])),
        )
    return Localisation(len(drawn), float(np.mean(masks)), methods)


def randomised(model: nn.Module, variables: Variables, shape: tuple[int, ...]) -> Variables:
    """Returns newly drawn parameters and statistics for a network.

    The model-parameter randomisation test of Adebayo et al., Sanity Checks for Saliency Maps,
    NeurIPS 2018 (arXiv:1810.03292), all layers at once.

    Args:
      model: The network.
      variables: Its trained parameters and statistics, whose sharding the new ones get.
      shape: Height, width and channels of its images.
    """
    images = jnp.zeros((1, *shape))
    init = jax.jit(lambda key: initialisers.variables(model, key, images, train=False))
    drawn: Variables = {"batch_stats": {}} | dict(init(jax.random.key(0)))
    return jax.device_put(drawn, jax.tree.map(lambda leaf: leaf.sharding, variables))


def rank_correlation(
    one: Float[np.ndarray, "H W"], other: Float[np.ndarray, "H W"]
) -> float | None:
    """Spearman's, in [-1, 1]: 1 for maps that rank the pixels alike; None if one is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    value = float(stats.spearmanr(one, other, axis=None).statistic)
    return None if math.isnan(value) else value


def cell_mask(id_: str, data: ConfigDict) -> Bool[np.ndarray, "H W"]:
    """Returns where the cell of a drawn image is, after decoding and resizing.

    Args:
      id_: Stable name of the image.
      data: The config's `data` branch, of source "synthetic".
    """
    mask = synthetic.draw_by_id(id_).mask
    # Resized as the image is; but a mask has no colours to be painted over or normalised.
    entry = dataclasses.replace(InputTransform.from_config(data), grey=False, mask=None, stain=None)
    _, encoded = cv2.imencode(".png", mask.astype(np.uint8) * 255)
    return entry(encoded.tobytes())[..., 0] > 127


def energy_in_mask(map_: Float[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"]) -> float:
    """The share, in 0..1, of the evidence for the class that lies in the mask.

    The energy-based pointing game of Wang et al., Score-CAM, CVPR Workshops 2020
    (arXiv:1910.01279); by chance it is the mask's share of the area. 0 for an empty map.
    """
    evidence = np.maximum(map_, 0)
    return float(evidence[mask].sum() / max(evidence.sum(), np.finfo(np.float32).tiny))


def maximum_in_mask(map_: Float[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"]) -> bool:
    """Whether the map's maximum lies in the mask: the pointing game.

    Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016 (arXiv:1608.00507).
    """
    return bool(mask.flat[map_.argmax()])
