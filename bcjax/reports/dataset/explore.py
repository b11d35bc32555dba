"""One page that shows a data set, with everything that it needs inside it."""

import dataclasses
import functools
from collections.abc import Sequence
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
from bcjax.reports.dataset.classes import ClassCard, class_cards, positions_by_class
from bcjax.reports.dataset.embedding import (
    Features,
    NetworkFeatures,
    colour_features,
    embedding_map,
)
from bcjax.reports.dataset.gallery import (
    DUPLICATES,
    OUTLIERS,
    farthest_clusters,
    found_clusters,
)
from bcjax.reports.datasheet import datasheet, verdicts
from bcjax.reports.pages.charts import SPLIT_COLOURS, class_colours
from bcjax.reports.pages.page import (
    Block,
    Charts,
    Facts,
    Html,
    Page,
    Section,
    Table,
    Text,
    environment,
    to_html,
)
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

_LEVELS = (
    "How many pixels of a class have each brightness, from 0 to 255. Heights are square roots, on "
    "one scale for all classes. The lines are red, green and blue; the grey area is the luma."
)
_SIZES = (
    "Median, middle half and middle nine tenths of each class. A network can recognise a class by "
    "its sharpness or its size alone if these differ from the other classes."
)
_NO_OUTLIERS = (
    "No picture is blank, tiny, unlike all others, grey among coloured ones, or there many times."
)


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
    files.write_text(html, to_html(_page(prepared, config.data, network)))
    return Exploration(html, prepared)


def _page(prepared: PreparedSet, data: ConfigDict, network: NetworkFeatures | None) -> Page:
    rng = np.random.default_rng(_SEED)
    pictures = measure_pictures(prepared, data.threads, data.max_pixels)
    records, measures, classes = pictures.records, pictures.measures, prepared.classes
    labels = np.array([record.label for record in records])
    mapped = sample(labels, _POINTS, rng)
    features = network(records, mapped) if network else colour_features(measures)
    remarkable = findings.find_remarkable(pictures, max_copies=data.max_copies)
    outliers = found_clusters(remarkable, OUTLIERS, records, classes)
    cards = class_cards(pictures, labels, classes, data, rng)
    sections = [
        Section("Counts", _counts(prepared, pictures)),
        Section("Map", _map(features, mapped, pictures, prepared)),
        Section("Classes", _classes(cards)),
        Section("Levels", [Text(_LEVELS, "soft"), Charts([card.levels for card in cards])]),
        Section(
            "Sizes and sharpness",
            [Text(_SIZES, "soft"), Charts(charts.range_charts(measures, labels, classes))],
        ),
        Section(
            "Duplicates",
            found_clusters(remarkable, DUPLICATES, records, classes)
            or [Text("No picture is there twice, and none has a near duplicate.")],
        ),
        Section(
            "Outliers",
            [*(outliers or [Text(_NO_OUTLIERS)]), *farthest_clusters(features, records, classes)],
        ),
        Section(
            "Datasheet",
            datasheet(prepared.datasheet)
            if prepared.datasheet
            else [Text("This set was prepared without a datasheet.")],
        ),
    ]
    name = Path(data.source).name or data.source
    return Page(f"{name}, explored", data.source, sections)


def _counts(prepared: PreparedSet, pictures: MeasuredPictures) -> list[Block]:
    by_split, classes, measures = prepared.counts, prepared.classes, pictures.measures
    total = len(pictures.records)
    sizes = [f"{f(measures.width)} by {f(measures.height)}" for f in (np.min, np.max)]
    facts = [
        ("pictures", f"{total:,}", ""),
        ("classes", f"{len(classes)}", ""),
        *((split, f"{sum(each):,}", "") for split, each in by_split.items()),
        ("pixels", " to ".join(dict.fromkeys(sizes)), ""),
    ]
    rows = []
    for label, name in enumerate(classes):
        each = [counts[label] for counts in by_split.values()]
        rows.append([name, *(f"{n:,}" for n in (*each, sum(each))), f"{sum(each) / total:.1%}"])
    sums = [sum(each) for each in by_split.values()]
    rows.append(["all", *(f"{n:,}" for n in (*sums, total)), ""])
    report = prepared.leaks if prepared.datasheet else leaks.find_leaks(pictures)
    told = verdicts(report.sentence, prepared.datasheet.canary if prepared.datasheet else None)
    if len(by_split) == 1:
        told = told[1:]  # nothing can lie in two splits
    return [
        Facts(facts),
        *told,
        Table(["class", *by_split, "all", "share"], rows),
        Charts([charts.count_chart(by_split, classes)]),
    ]


def _map(
    features: Features,
    mapped: Int[np.ndarray, "n"],
    pictures: MeasuredPictures,
    prepared: PreparedSet,
) -> list[Block]:
    drawn = embedding_map(features, mapped, pictures.records, _SEED)
    if not drawn:
        return [Text("Too few pictures for a map.")]
    about = (
        f"The map shows {len(drawn.points):,} of {len(pictures.records):,} pictures, chosen at "
        "random; rare classes have more than their share. Pictures that lie near each other are "
        f"alike in {features.about}. The map is drawn by t-SNE: its axes and large distances mean "
        "nothing. Point at a picture, or tap it, to see it."
    )
    template = environment().get_template("map.html")
    markup = template.render(
        map=drawn,
        classes=prepared.classes,
        splits=list(prepared.counts),
        colours=class_colours(len(prepared.classes)),
        split_colours=SPLIT_COLOURS,
    )
    return [Text(about, "soft"), Html(markup)]


def _classes(cards: Sequence[ClassCard]) -> list[Block]:
    about = (
        "Each class has pictures that are chosen at random, the mean of up to "
        f"{max(card.averaged for card in cards)} pictures, their standard deviation (times "
        f"{cards[0].gain:.1f}, to be seen), and what the cell mask (`data.mask`) leaves of some."
    )
    markup = environment().get_template("cards.html").render(cards=cards)
    return [Text(about, "soft"), Html(markup)]


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
    return MeasuredPictures.from_measures(records, Measures.joined(parts))


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
