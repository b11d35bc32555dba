"""What a network answers for images, as objects that explain themselves in a notebook."""

import dataclasses
import html
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from bcjax.evaluation.prevalence import Prevalence
from bcjax.runtime import extras

if TYPE_CHECKING:
    import pandas

_SHOWN = 20  # rows of the table in a notebook


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """An image that could not be read.

    Attributes:
      name: Its path, or its position.
      reason: What is wrong with it.
    """

    name: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
      name: The image's path, or "image 0", "image 1", ... by position for what was in memory.
      label: The most probable class.
      probabilities: By class name; calibrated if the checkpoint has a calibration.
      set: The classes of the conformal set, which holds the true class as often as the
        calibration's coverage says. None without a calibration, as all that follows.
      uncertain: Whether the network is too unsure for its answer to count; None also where the
        calibration had too few images to say.
      outlier: Whether the image is unlike those that the network was trained on; None also where
        the calibration fitted no outliers, as for `distance`.
      distance: Mahalanobis distance of the features to the nearest class.
      energy: Free energy of the logits, another score of how strange the image is.
      entropy: Of an ensemble: entropy of the mean of the networks' probabilities, before any
        calibration, in nats. None for one network.
      mutual_information: Of an ensemble: the part of it that the networks disagree about, in nats;
        see `evaluation.disagreement`.
      prevalence: The stated share of each class at which the probabilities are; None: the
        prevalence of the training.
    """

    name: str
    label: str
    probabilities: dict[str, float]
    set: tuple[str, ...] | None = None
    uncertain: bool | None = None
    outlier: bool | None = None
    distance: float | None = None
    energy: float | None = None
    entropy: float | None = None
    mutual_information: float | None = None
    prevalence: dict[str, float] | None = None

    @property
    def probability(self) -> float:
        """Probability of the most probable class, in 0..1."""
        return self.probabilities[self.label]

    def to_dict(self) -> dict[str, Any]:
        """Returns the row that `bcjax predict --json` prints."""
        row: dict[str, Any] = {
            "filename": self.name,
            "label": self.label,
            "probabilities": self.probabilities,
        }
        if self.set is not None:
            row |= {
                "set": list(self.set),
                "uncertain": self.uncertain,
                "outlier": self.outlier,
                "distance": self.distance,
                "energy": self.energy,
            }
        if self.entropy is not None:
            row |= {"entropy": self.entropy, "mutual_information": self.mutual_information}
        if self.prevalence is not None:
            row["prevalence"] = self.prevalence
        return row


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """The answers for N images: a sequence of `Prediction`, and arrays of all of them.

    Examples:
      >>> predictions = bcjax.load("runs/a").predict("cells/")       # doctest: +SKIP
      >>> predictions.labels[0], predictions[0].probability          # doctest: +SKIP
      ('lymphocyte', 0.983)
      >>> predictions.to_pandas().to_csv("cells.csv")                # doctest: +SKIP

    Attributes:
      names: Paths; "image 0", "image 1", ... by position for what was in memory.
      classes: Class names, in the order of the columns.
      logits: Before the softmax and any calibration.
      probabilities: Rows sum to 1; calibrated if the checkpoint has a calibration.
      sets: Conformal sets: which classes are in each image's. None without a calibration, as all
        that follows; see `Prediction` for what they mean.
      uncertain: Whether an answer does not count.
      outlier: Whether an image is unlike the training images.
      distance: Mahalanobis distance of the features to the nearest class.
      energy: Free energy of the logits.
      entropy: Of an ensemble: entropy of the mean of the networks' probabilities, before any
        calibration, in nats. None for one network.
      mutual_information: Of an ensemble: the part of it that the networks disagree about, in nats;
        see `evaluation.disagreement`.
      prevalence: The stated prevalence at which the probabilities are; None: that of the training.
        The logits, the entropy and the mutual information are the networks' own.
      unreadable: The images that could not be read; they are in none of the above.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    logits: Float32[np.ndarray, "N C"]
    probabilities: Float[np.ndarray, "N C"]
    sets: Bool[np.ndarray, "N C"] | None = None
    uncertain: Bool[np.ndarray, "N"] | None = None
    outlier: Bool[np.ndarray, "N"] | None = None
    distance: Float[np.ndarray, "N"] | None = None
    energy: Float[np.ndarray, "N"] | None = None
    entropy: Float[np.ndarray, "N"] | None = None
    mutual_information: Float[np.ndarray, "N"] | None = None
    prevalence: Prevalence | None = None
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def indices(self) -> Int[np.ndarray, "N"]:
        """Position of the most probable class of each image."""
        return self.probabilities.argmax(axis=1)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of the most probable class of each image."""
        return tuple(self.classes[index] for index in self.indices)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> "Predictions": ...
    def __getitem__(self, index: int | slice) -> "Prediction | Predictions":
        if isinstance(index, slice):
            rows: dict[str, Any] = {
                field.name: None if value is None else value[index]
                for field in dataclasses.fields(self)
                if field.name not in ("classes", "prevalence", "unreadable")
                for value in [getattr(self, field.name)]
            }
            return dataclasses.replace(self, unreadable=(), **rows)
        name, row = self.names[index], self.probabilities[index]

        def scalar(column: np.ndarray | None) -> Any:
            return None if column is None else column[index].item()

        return Prediction(
            name=name,
            label=self.classes[int(row.argmax())],
            probabilities=dict(zip(self.classes, row.tolist(), strict=True)),
            set=None if self.sets is None else self._names_in(self.sets[index]),
            uncertain=scalar(self.uncertain),
            outlier=scalar(self.outlier),
            distance=scalar(self.distance),
            energy=scalar(self.energy),
            entropy=scalar(self.entropy),
            mutual_information=scalar(self.mutual_information),
            prevalence=dict(self.prevalence.stated) if self.prevalence else None,
        )

    def __iter__(self) -> Iterator[Prediction]:
        return (self[position] for position in range(len(self)))

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as what JSON can hold."""
        stated = {"prevalence": self.prevalence.to_dict()} if self.prevalence else {}
        return stated | {
            "classes": list(self.classes),
            "predictions": [prediction.to_dict() for prediction in self],
            "unreadable": [dataclasses.asdict(each) for each in self.unreadable],
        }

    def to_pandas(self) -> "pandas.DataFrame":
        """Returns a table with a row for each image and a column of probabilities for each class.

        Raises:
          UserError: If pandas is not installed.
        """
        extras.check("pandas", "A table of predictions")
        import pandas

        columns: dict[str, Any] = {"filename": self.names, "label": self.labels}
        if self.sets is not None:
            columns["set"] = [";".join(self._names_in(row)) for row in self.sets]
            for name in ("uncertain", "outlier", "distance", "energy"):
                columns[name] = getattr(self, name)
        if self.entropy is not None:
            columns |= {"entropy": self.entropy, "mutual_information": self.mutual_information}
        columns |= dict(zip(self.classes, self.probabilities.T, strict=True))
        table = pandas.DataFrame(columns)
        if self.prevalence:
            table.attrs["prevalence"] = dict(self.prevalence.stated)
        return table

    def _names_in(self, row: Bool[np.ndarray, "C"]) -> tuple[str, ...]:
        return tuple(name for name, inside in zip(self.classes, row, strict=True) if inside)

    def __repr__(self) -> str:
        shown = ", ".join(f"{each.name}: {each.label} {each.probability:.1%}" for each in self[:3])
        more = f", ... {len(self)} in all" if len(self) > 3 else ""
        lost = f"; {len(self.unreadable)} unreadable" if self.unreadable else ""
        return f"Predictions({shown}{more}{lost})"

    def _repr_html_(self) -> str:
        """A table of the first images, for notebooks."""
        rows = []
        for each in self[:_SHOWN]:
            ranked = sorted(each.probabilities.items(), key=lambda item: -item[1])[1:3]
            label = "uncertain" if each.uncertain else each.label
            then = ", ".join(f"{name} {value:.1%}" for name, value in ranked)
            cells = [each.name, label, f"{each.probability:.1%}", then]
            if self.sets is not None:
                cells += [", ".join(each.set or ()) or "none", "yes" if each.outlier else ""]
            rows.append(cells)
        head = ["image", "label", "probability", "then"]
        head += ["set", "outlier"] if self.sets is not None else []
        notes = [f"{len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        notes += [self.prevalence.sentence] if self.prevalence else []
        notes += [f"unreadable: {each.name} ({each.reason})" for each in self.unreadable]
        return _html_table(head, rows) + "".join(f"<p>{html.escape(note)}</p>" for note in notes)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Returns the answers for the images of one stream, of which each part holds some.

    Args:
      parts: One or more, by the same network.
    """
    rows: dict[str, Any] = {}
    for field in dataclasses.fields(Predictions):
        columns = [getattr(part, field.name) for part in parts]
        if isinstance(columns[0], np.ndarray):
            rows[field.name] = np.concatenate(columns)
        elif field.name in ("names", "unreadable"):
            rows[field.name] = tuple(itertools.chain.from_iterable(columns))
    return dataclasses.replace(parts[0], **rows)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Embeddings:
    """What the classifier of a network reads of N images.

    Attributes:
      names: Paths; "image 0", "image 1", ... by position for what was in memory.
      features: One row for each image.
      unreadable: The images that could not be read.
    """

    names: tuple[str, ...]
    features: Float32[np.ndarray, "N F"]
    unreadable: tuple[Unreadable, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        rows, width = self.features.shape
        return f"Embeddings({rows} images, {width} features)"


def _html_table(head: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{line(head, 'th')}</tr>{body}</table>"
