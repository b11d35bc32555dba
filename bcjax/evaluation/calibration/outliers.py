"""Outliers: pictures that are like none that the network was trained on."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.distance import cdist
from scipy.special import logsumexp


@dataclasses.dataclass(frozen=True)
class Outliers:
    """Two scores, each higher for a stranger picture, and from where on a picture is an outlier.

    Attributes:
      kept: Share of the held-out pictures that are no outliers, by either score, in (0, 1).
      energy_threshold: An outlier's energy is above it.
      distance_threshold: An outlier's distance is above it.
      means: Of the features of each class that was trained on.
      whitening: Turns what the features' covariance within classes, tied, is into the identity.
      energies: Of the held-out pictures.
      distances: Of the held-out pictures.
    """

    kept: float
    energy_threshold: float
    distance_threshold: float
    means: Float[np.ndarray, "K D"]
    whitening: Float[np.ndarray, "D R"]
    energies: Float[np.ndarray, "n"]
    distances: Float[np.ndarray, "n"]

    def distance(self, features: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N"]:
        """Mahalanobis's distance to the nearest class (Lee et al., NeurIPS 2018)."""
        return _distance(features, self.means, self.whitening)

    def are(self, features: Float[np.ndarray, "N D"]) -> Bool[np.ndarray, "N"]:
        """Returns which pictures are outliers, by their distance, the better score of the two.

        Of everyday pictures against cells, an ELU CNN trained for 350 steps on PBC at 28 px had an
        AUROC of 0.99 by distance and of 0.38 by energy.
        """
        return self.distance(features) > self.distance_threshold


def energy(logits: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N"]:
    """The free energy of raw logits, at temperature 1 (Liu et al., NeurIPS 2020)."""
    return -logsumexp(logits.astype(np.float64), axis=1)


def fit(
    features: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, "N"],
    held_features: Float[np.ndarray, "n D"],
    held_logits: Float[np.ndarray, "n C"],
    kept: float = 0.95,
) -> Outliers:
    """Fits means and covariance on training pictures, thresholds on held-out ones.

    The covariance is shrunk (Ledoit and Wolf 2004): of fewer pictures than features it would have
    directions without variance.

    Args:
      features: What the classifier reads, of the pictures it was trained on.
      labels: Of these.
      held_features: Of pictures that it was not trained on.
      held_logits: Of these, raw.
      kept: In (0, 1).
    """
    # Here, for it takes two seconds to import, and only fitting needs it.
    from sklearn.covariance import ledoit_wolf

    features = features.astype(np.float64)
    present, position = np.unique(labels, return_inverse=True)
    means = np.stack([features[position == k].mean(axis=0) for k in range(len(present))])
    covariance, _ = ledoit_wolf(features - means[position], assume_centered=True)
    variances, directions = np.linalg.eigh(covariance)
    there = variances > variances.max() * len(variances) * np.finfo(np.float64).eps
    whitening = directions[:, there] / np.sqrt(variances[there])
    energies = energy(held_logits)
    distances = _distance(held_features, means, whitening)
    return Outliers(
        kept=kept,
        energy_threshold=float(np.quantile(energies, kept, method="higher")),
        distance_threshold=float(np.quantile(distances, kept, method="higher")),
        means=means,
        whitening=whitening,
        energies=energies,
        distances=distances,
    )


def _distance(features: np.ndarray, means: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    return cdist(features.astype(np.float64) @ whitening, means @ whitening).min(axis=1)
