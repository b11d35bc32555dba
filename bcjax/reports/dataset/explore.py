"""One page that shows a data set, with everything that it needs inside it."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.data.curate import findings, leaks
from bcjax.data.curate.measured_pictures import MeasuredPictures, Measures, measure
from bcjax.data.decode import MAX_PIXELS
from bcjax.data.preparation import prepare
from bcjax.data.prepared import EncodedExamples, PreparedSet
from bcjax.data.records import Record
from bcjax.reports.dataset import charts
from bcjax.reports.dataset.classes import class_cards, positions_by_class
from bcjax.reports.dataset.embedding import NetworkFeatures, colour_features, embedding_map
from bcjax.reports.dataset.gallery import DUPLICATES, OUTLIERS, Galleries
from bcjax.reports.pages.charts import SPLIT_COLOURS, class_colours
from bcjax.reports.pages.page import environment
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

_SEED = 0  # of everything that is chosen at random, so that the same set makes the same page
_POINTS = 2000  # pictures on the map
_MIN_PER_CLASS = 20  # pictures of each class in a sample, however rare it is
_CHUNK = 512  # pictures held encoded at a time
# Keys of the config's `data` branch that choose other pictures, or other splits, of a source.
_RULES = (
    "exclude", "keep", "drop", "group_by", "resplit", "val_fraction", "test_fraction",
    "split_seed", "folds", "canary",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Exploration:
    """What was written of a data set.

    Attributes:
      html: The page.
      prepared: The pictures that it shows.
    """

    html: Path
    prepared: PreparedSet


def explore(
    config: ConfigDict,
    out: str | Path,
    *,
    workdir: str | Path | None = None,
    checkpoint: str = "best",
    as_trained: bool = False,
) -> Exploration:
    """Writes a page about the pictures of a config.

    The pictures are shown as they are found, contradictions and leaks included. Only if the config
    has rules for the pictures (`data.drop`, `data.group_by`, ...) are they shown as they are
    trained on.

    Args:
      config: Its `data` branch says which pictures.
      out: The HTML file to write.
      workdir: A run, whose features place the pictures on the map; None: their colours do.
      checkpoint: The checkpoint of the run: "best", "latest" or a step.
      as_trained: Whether to show the pictures as they are trained on even without rules.

    Raises:
      UserError: If the pictures or the run cannot be read.
    """
    html = Path(out)
    network = NetworkFeatures(Path(workdir), checkpoint) if workdir else None
    prepared = open_pictures(config.data, as_trained=as_trained)
    files.write_text(html, _render(prepared, config.data, network))
    return Exploration(html, prepared)


def _render(prepared: PreparedSet, data: ConfigDict, network: NetworkFeatures | None) -> str:
    rng = np.random.default_rng(_SEED)
    pictures = measure_pictures(prepared, data.threads, data.max_pixels)
    records, measures = pictures.records, pictures.measures
    labels = np.array([record.label for record in records])
    mapped = sample(labels, _POINTS, rng)
    features = network(records, mapped) if network else colour_features(measures)
    remarkable = findings.find_remarkable(pictures, max_copies=data.max_copies)
    galleries = Galleries(records, prepared.classes)
    template = environment("bcjax.reports.dataset").get_template("explore.html")
    return template.render(
        name=Path(data.source).name or data.source,
        location=data.source,
        prepared=prepared,
        datasheet=prepared.datasheet,
        leaks=(prepared.leaks if prepared.datasheet else leaks.find_leaks(pictures)).sentence,
        charts=charts.dataset_charts(prepared, measures, labels),
        cards=class_cards(pictures, labels, prepared.classes, data, rng),
        duplicates=galleries.of_findings(remarkable, DUPLICATES),
        outliers=galleries.of_findings(remarkable, OUTLIERS),
        far=galleries.far_from_class(features),
        features=features,
        map=embedding_map(features, mapped, records, _SEED),
        colours=class_colours(len(prepared.classes)),
        split_colours=SPLIT_COLOURS,
    )


def open_pictures(data: ConfigDict, *, as_trained: bool) -> PreparedSet:
    """Opens `data.source`, as it is trained on or as it is found.

    As it is found, a set may hold what no network should be trained on, such as a picture under
    two labels, so that a person can see it. Nothing is held back: pictures that the source puts in
    no split are shown as train.

    Args:
      data: The config's `data` branch. If it has rules for the pictures, these are applied.
      as_trained: Whether to show what is trained on even without rules.

    Raises:
      UserError: If the source cannot be read, or the rules do not fit it.
    """
    default = configs.default().data
    if as_trained or any(data[key] != default[key] for key in _RULES):
        return prepare(data)
    data = data.copy_and_resolve_references()
    data.update({"val_fraction": 0.0, "test_fraction": 0.0})
    return prepare(data, complete=False)


def measure_pictures(
    prepared: PreparedSet, threads: int | None = None, max_pixels: int = MAX_PIXELS
) -> MeasuredPictures:
    """Measures every picture of a set, split after split.

    Args:
      prepared: The set.
      threads: How many threads measure; None: one for each core.
      max_pixels: The most pixels of a picture.

    Raises:
      UserError: If a picture cannot be decoded, or is too large.
    """
    records: list[Record] = []
    parts: list[Measures] = []
    for split in prepared.counts:
        examples, ids = prepared.examples(split), prepared.ids(split)
        for start in range(0, len(ids), _CHUNK):
            positions = range(start, min(start + _CHUNK, len(ids)))
            held = examples[positions]  # together: one by one costs more than to measure them
            chunk = [
                Record(
                    ids[i],
                    each.label,
                    functools.partial(_read, examples, i),
                    split=split,
                    max_pixels=max_pixels,
                )
                for i, each in zip(positions, held, strict=True)
            ]
            in_memory = [
                dataclasses.replace(record, read=functools.partial(bytes, each.image))
                for record, each in zip(chunk, held, strict=True)
            ]
            measured = measure(in_memory, threads)
            for i, fault in zip(positions, measured.fault, strict=True):
                if fault:
                    raise UserError(f"{ids[i]} of {prepared.path} cannot be read: {fault}.")
            parts.append(measured)
            records += chunk
    columns = (field.name for field in dataclasses.fields(Measures))
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in columns)
    return MeasuredPictures.from_measures(records, Measures(*joined))


def _read(examples: EncodedExamples, position: int) -> bytes:
    return examples[[position]][0].image


def sample(
    labels: Int[np.ndarray, "N"], limit: int, rng: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """Returns positions of about `limit` pictures in random order.

    Each class has its share, but at least 20 pictures, or all that it has.

    Args:
      labels: Labels of all pictures.
      limit: How many to choose; the 20 of rare classes may come on top.
      rng: Makes the choice.
    """
    share = min(1.0, limit / max(1, len(labels)))
    chosen = [
        rng.permutation(members)[: max(_MIN_PER_CLASS, int(share * len(members)))]
        for members in positions_by_class(labels).values()
    ]
    return rng.permutation(np.concatenate(chosen))
