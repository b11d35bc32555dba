"""What a network answered for each picture of a split: all that any figure about it is made of."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float32, Int
from pyarrow import parquet

from bcjax.metrics.predictions import Predictions, checked
from bcjax.runtime import files
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Answers:
    """Each picture of a split once, in its order.

    Attributes:
      classes: Names, in the order of the logits.
      ids: Stable names of the pictures.
      groups: Patient, slide or source picture of each; "" where the data names none.
      labels: In [0, C).
      logits: Before the softmax; of averages over networks or views the log of the probabilities.
    """

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: Int[np.ndarray, "N"]
    logits: Float32[np.ndarray, "N C"]

    @property
    def n(self) -> int:
        return len(self.labels)

    def predictions(self) -> Predictions:
        """The probabilities with the labels, as the metrics take them."""
        return checked(self.probabilities(), self.labels, self.classes)

    def probabilities(self, temperature: float = 1.0) -> Float[np.ndarray, "N C"]:
        """The softmax of the logits over a temperature, float64."""
        scaled = self.logits.astype(np.float64) / temperature
        shifted = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)


def write(answers: Answers, path: Path) -> None:
    """Writes a parquet file, atomically: columns id, group, label and logits; classes beside."""
    count = len(answers.classes)
    logits = pa.array(answers.logits.astype(np.float32).ravel())
    table = pa.table(
        {
            "id": pa.array(answers.ids, pa.string()),
            "group": pa.array(answers.groups, pa.string()),
            "label": pa.array(answers.labels, pa.int32()),
            "logits": pa.FixedSizeListArray.from_arrays(logits, count),
        }
    ).replace_schema_metadata({"classes": json.dumps(answers.classes)})
    with files.atomic(path) as partial:
        parquet.write_table(table, partial)


def read(path: Path) -> Answers:
    """Reads what `write` wrote.

    Raises:
      UserError: If there is no such file, it is something else, or an answer is not finite.
    """
    if not path.exists():
        raise UserError(
            f"There are no answers at {path}: run bcjax evaluate --workdir={path.parent.parent}."
        )
    try:
        found = _read(path)
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f"{path} holds no answers of bcjax ({error}): evaluate anew.") from error
    if not np.isfinite(found.logits).all():
        wrong = found.ids[int(np.isfinite(found.logits).all(axis=1).argmin())]
        raise UserError(f"{path} holds answers that are not finite ({wrong}): evaluate anew.")
    return found


def _read(path: Path) -> Answers:
    table = parquet.read_table(path)
    classes = tuple(json.loads(table.schema.metadata[b"classes"]))
    logits = table["logits"].combine_chunks().flatten().to_numpy()
    return Answers(
        classes=classes,
        ids=tuple(table["id"].to_pylist()),
        groups=tuple(table["group"].to_pylist()),
        labels=table["label"].to_numpy(),
        logits=logits.reshape(-1, len(classes)),
    )
