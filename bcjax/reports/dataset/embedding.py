"""Where pictures lie to each other by their features: a map, and who lies far off."""

import os

import numpy as np
from jaxtyping import Float, Float32, Int
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from bcjax.reports.dataset.features import Features
from bcjax.reports.dataset.look import by_class

_COMPONENTS = 48  # that t-SNE is given
_PERPLEXITY = 30.0
_FEWEST = 8  # pictures that make a map, or a class from which one may lie far


def layout(values: Float[np.ndarray, "n C"], seed: int) -> Float32[np.ndarray, "n 2"] | None:
    """Lays features out on a plane: neighbours stay neighbours, x and y themselves mean nothing.

    t-SNE (van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008) of their principal
    components, started from the first two.

    Returns:
      Both coordinates in 0..1; None for too few pictures.
    """
    if len(values) < _FEWEST:
        return None
    components = min(_COMPONENTS, *values.shape)
    reduced = PCA(components, random_state=seed).fit_transform(values)
    perplexity = min(_PERPLEXITY, (len(values) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, random_state=seed, n_jobs=os.cpu_count())
    plane = tsne.fit_transform(reduced)
    return (plane - plane.min(0)) / np.maximum(np.ptp(plane, axis=0), 1e-6)


def far_off(
    features: Features, labels: Int[np.ndarray, "N"], count: int
) -> list[tuple[int, float]]:
    """The pictures of each class that lie farthest from its mean.

    Args:
      features: Of some of N pictures.
      labels: Of all of them.
      count: Of each class.

    Returns:
      (position, distance over the median distance in the class), class by class.
    """
    found = []
    for members in by_class(labels[features.positions]).values():
        if len(members) < _FEWEST:
            continue
        values = features.values[members]
        distance = np.linalg.norm(values - values.mean(0), axis=1)
        ratio = distance / max(float(np.median(distance)), 1e-6)
        for i in np.argsort(-ratio, kind="stable")[:count]:
            found.append((int(features.positions[members[i]]), float(ratio[i])))
    return found
