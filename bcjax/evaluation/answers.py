"""Answers: a network's logits for each picture of a split, from which every metric is computed."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Float, Float32, Int

from bcjax import metrics
from bcjax.data.prepared import PreparedSet
from bcjax.evaluation.calibration import temperature as temperatures
from bcjax.evaluation.disagreement import Disagreement
from bcjax.evaluation.prevalence import Prevalence
from bcjax.metrics.measurements import Measurements
from bcjax.metrics.predictions import Predictions, checked
from bcjax.runtime import files
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Answers:
    """The answers to N pictures of a split, each picture once, in the split's order.

    Attributes:
      classes: Names of the C classes, in the order of the logits.
      ids: Stable name of each picture.
      groups: Patient, slide or source picture of each picture; "" where the data names none.
      labels: True class of each picture, in [0, C).
      logits: Scores before the softmax. For averages over networks or views they are the logarithms
        of the averaged probabilities.
      disagreement: How much the networks of an ensemble disagree about each picture; None: one
        network answered, or each member of a run its own fold.
      prevalence: The prevalence under which the probabilities are; None: that of the training. The
        logits are the network's own in both cases.
    """

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: Int[np.ndarray, "N"]
    logits: Float32[np.ndarray, "N C"]
    disagreement: Disagreement | None = None
    prevalence: Prevalence | None = None

    @classmethod
    def of_split(
        cls,
        prepared: PreparedSet,
        split: str,
        logits: Float32[np.ndarray, "N C"],
        labels: Int[np.ndarray, "N"],
    ) -> Self:
        """Returns the logits of a split's pictures with the pictures' names and groups.

        Raises:
          UserError: If a logit is not finite.
        """
        if not np.isfinite(logits).all():
            raise UserError(
                "The network's answers are not finite, for its training diverged: lower "
                "config.optim.lr or set config.optim.clip_norm=1.0; earlier checkpoints are kept."
            )
        ids, groups = tuple(prepared.ids(split)), tuple(prepared.groups(split))
        return cls(prepared.classes, ids, groups, labels, logits)

    @property
    def n(self) -> int:
        """Number of pictures."""
        return len(self.labels)

    def probabilities(self, temperature: float = 1.0) -> Float[np.ndarray, "N C"]:
        """Returns the softmax of the logits divided by a temperature, float64.

        Under another prevalence they are the posterior at that one.
        """
        if self.prevalence:
            return self.prevalence.probabilities(self.logits, self.classes, temperature)
        return temperatures.probabilities(self.logits, temperature)

    def predictions(self) -> Predictions:
        """Returns the probabilities with the labels, as the metrics take them."""
        return checked(self.probabilities(), self.labels, self.classes)

    def measure(self, *, resamples: int, seed: int = 0) -> Measurements:
        """Returns all metrics of the answers; pictures of one group are resampled together."""
        return metrics.measure(
            self.probabilities(),
            self.labels,
            self.classes,
            groups=self.groups,
            resamples=resamples,
            seed=seed,
        )

    def take(self, rows: Sequence[int] | Int[np.ndarray, "n"]) -> Self:
        """Returns the answers to the pictures at these positions, in this order."""
        apart = self.disagreement
        return dataclasses.replace(
            self,
            ids=tuple(self.ids[i] for i in rows),
            groups=tuple(self.groups[i] for i in rows),
            labels=self.labels[rows],
            logits=self.logits[rows],
            disagreement=apart and apart.take(np.asarray(rows, np.intp)),
        )


def write(answers: Answers, path: Path, cautions: Sequence[str] = ()) -> None:
    """Writes answers atomically to a parquet file with the columns id, group, label and logits.

    Those of an ensemble have the columns entropy and mutual_information, too; see `disagreement`.
    In the schema's metadata are, as JSON, the names of the classes, the cautions and, if there is
    another one than that of the training, the prevalence at which the probabilities are.

    Args:
      answers: The answers.
      path: The file.
      cautions: What a reader of figures that are made from them must know; see `guards`.
    """
    import pyarrow as pa  # here, for `predict` reads and writes no answers
    from pyarrow import parquet

    logits = pa.array(answers.logits.astype(np.float32).ravel())
    columns = {
        "id": pa.array(answers.ids, pa.string()),
        "group": pa.array(answers.groups, pa.string()),
        "label": pa.array(answers.labels, pa.int32()),
        "logits": pa.FixedSizeListArray.from_arrays(logits, len(answers.classes)),
    }
    if answers.disagreement:
        columns |= {name: pa.array(each) for name, each in vars(answers.disagreement).items()}
    about = {"classes": json.dumps(answers.classes), "cautions": json.dumps(list(cautions))}
    if answers.prevalence:
        about["prevalence"] = json.dumps(answers.prevalence.to_dict())
    table = pa.table(columns).replace_schema_metadata(about)
    with files.atomic(path) as partial:
        parquet.write_table(table, partial)


def read(path: Path) -> Answers:
    """Reads the answers that `write` wrote.

    Raises:
      UserError: If there is no such file, it holds something else, or an answer is not finite.
    """
    import pyarrow as pa

    if not path.exists():
        raise UserError(
            f"There are no answers at {path}: run bcjax evaluate --workdir={path.parent.parent}."
        )
    try:
        answers = _read(path)
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f"{path} holds no answers of bcjax ({error}): evaluate anew.") from error
    finite = np.isfinite(answers.logits).all(axis=1)
    if not finite.all():
        name = answers.ids[int(finite.argmin())]
        raise UserError(f"{path} holds answers that are not finite ({name}): evaluate anew.")
    return answers


def _read(path: Path) -> Answers:
    from pyarrow import parquet

    table = parquet.read_table(path)
    classes = tuple(json.loads(table.schema.metadata[b"classes"]))
    logits = table["logits"].combine_chunks().flatten().to_numpy()
    apart = None
    if "mutual_information" in table.column_names:
        names = (field.name for field in dataclasses.fields(Disagreement))
        apart = Disagreement(*(table[name].to_numpy() for name in names))
    stated = table.schema.metadata.get(b"prevalence")
    return Answers(
        classes=classes,
        ids=tuple(table["id"].to_pylist()),
        groups=tuple(table["group"].to_pylist()),
        labels=table["label"].to_numpy(),
        logits=logits.reshape(-1, len(classes)),
        disagreement=apart,
        prevalence=Prevalence.from_dict(json.loads(stated)) if stated else None,
    )
