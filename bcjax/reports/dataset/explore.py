"""One page that shows a data set, with everything that it needs inside it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from bcjax.data.curate import findings
from bcjax.data.curate.datasheet import Datasheet
from bcjax.reports.dataset import charts
from bcjax.reports.dataset.classes import (
    ClassCard,
    class_cards,
    drawn_classes,
    positions_by_class,
)
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
from bcjax.reports.dataset.pictures import ExploredPictures, open_pictures
from bcjax.reports.datasheet import datasheet, verdicts
from bcjax.reports.pages.charts import SPLIT_COLOURS, class_colours
from bcjax.reports.pages.page import (
    Block,
    Charts,
    Details,
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
from bcjax.runtime.stages import Told

_SEED = 0  # of everything that is chosen at random, so that the same set makes the same page
_POINTS = 2000  # pictures on the map
_MIN_PER_CLASS = 20  # pictures of each class in a sample, however rare it is

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
      counts: Number of pictures that it shows, by split and class name.
      datasheet: What was found in them; None for a prepared set without a datasheet.
    """

    html: Path
    counts: Mapping[str, Mapping[str, int]]
    datasheet: Datasheet | None


def explore(
    config: ConfigDict,
    out: str | Path,
    *,
    workdir: str | Path | None = None,
    checkpoint: str = "best",
    as_trained: bool = False,
    told: Told = lambda doing: None,
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
      told: Is told, again and again, what is being done.

    Raises:
      UserError: If the pictures or the run cannot be read.
    """
    html = Path(out)
    network = NetworkFeatures(Path(workdir), checkpoint) if workdir else None
    explored = open_pictures(config.data, as_trained=as_trained, told=told)
    files.write_text(html, to_html(_page(explored, config.data, network, told)))
    counts = {
        split: dict(zip(explored.classes, each, strict=True))
        for split, each in explored.counts.items()
    }
    return Exploration(html, counts, explored.datasheet)


def _page(
    explored: ExploredPictures, data: ConfigDict, network: NetworkFeatures | None, told: Told
) -> Page:
    rng = np.random.default_rng(_SEED)
    pictures, classes = explored.measured, explored.classes
    records, measures = pictures.records, pictures.measures
    labels = np.array([record.label for record in records])
    drawn = drawn_classes(labels, len(classes))
    mapped = sample(labels, _POINTS, rng)
    told("what the network sees in the pictures" if network else "colours of the pictures")
    features = network(records, mapped) if network else colour_features(measures)
    told("duplicates and outliers")
    remarkable = findings.find_remarkable(pictures, max_copies=data.max_copies)
    outliers = found_clusters(remarkable, OUTLIERS, records, classes)
    told("pictures of each class")
    cards = class_cards(pictures, labels, classes, drawn, data, rng)
    told("map of the pictures")
    embedded = _map(features, mapped, explored)
    told("charts and tables")
    sections = [
        Section("Counts", _counts(explored, drawn)),
        Section("Map", embedded),
        Section("Classes", [*_drawn_of(len(drawn), len(classes)), *_classes(cards)]),
        Section("Levels", [Text(_LEVELS, "soft"), Charts([card.levels for card in cards])]),
        Section(
            "Sizes and sharpness",
            [Text(_SIZES, "soft"), Charts(charts.range_charts(measures, labels, classes, drawn))],
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
            datasheet(explored.datasheet)
            if explored.datasheet
            else [Text("This set was prepared without a datasheet.")],
        ),
    ]
    name = Path(data.source).name or data.source
    return Page(f"{name}, explored", data.source, sections)


def _counts(explored: ExploredPictures, drawn: Sequence[int]) -> list[Block]:
    by_split, classes = explored.counts, explored.classes
    measures, sheet = explored.measured.measures, explored.datasheet
    total = len(measures)
    sizes = [f"{f(measures.width)} by {f(measures.height)}" for f in (np.min, np.max)]
    facts = [
        ("pictures", f"{total:,}", ""),
        ("classes", f"{len(classes):,}", ""),
        *((split, f"{sum(each):,}", "") for split, each in by_split.items()),
        ("pixels", " to ".join(dict.fromkeys(sizes)), ""),
    ]
    rows = []
    for label, name in enumerate(classes):
        each = [counts[label] for counts in by_split.values()]
        rows.append([name, *(f"{n:,}" for n in (*each, sum(each))), f"{sum(each) / total:.1%}"])
    sums = [sum(each) for each in by_split.values()]
    rows.append(["all", *(f"{n:,}" for n in (*sums, total)), ""])
    told = verdicts(explored.leaks, sheet.canary if sheet else None)
    if len(by_split) == 1:
        told = told[1:]  # nothing can lie in two splits
    table: Block = Table(["class", *by_split, "all", "share"], rows)
    if len(drawn) < len(classes):
        table = Details(f"Pictures of each of the {len(classes):,} classes", [table])
    chart = charts.count_chart(
        {split: [counts[label] for label in drawn] for split, counts in by_split.items()},
        [classes[label] for label in drawn],
    )
    return [Facts(facts), *told, *_drawn_of(len(drawn), len(classes)), table, Charts([chart])]


def _drawn_of(drawn: int, classes: int) -> list[Block]:
    """Returns what is to be said where not all classes are drawn."""
    if drawn == classes:
        return []
    return [
        Text(
            f"Of {classes:,} classes, the {drawn // 2} with the most pictures and the "
            f"{drawn - drawn // 2} with the fewest are drawn; tables list all of them.",
            "soft",
        )
    ]


def _map(
    features: Features, mapped: Int[np.ndarray, "n"], explored: ExploredPictures
) -> list[Block]:
    records = explored.measured.records
    drawn = embedding_map(features, mapped, records, _SEED)
    if not drawn:
        return [Text("Too few pictures for a map.")]
    about = (
        f"The map shows {len(drawn.points):,} of {len(records):,} pictures, chosen at "
        "random; rare classes have more than their share. Pictures that lie near each other are "
        f"alike in {features.about}. The map is drawn by t-SNE: its axes and large distances mean "
        "nothing. Point at a picture, or tap it, to see it."
    )
    template = environment().get_template("map.html")
    markup = template.render(
        map=drawn,
        classes=explored.classes,
        splits=list(explored.counts),
        colours=class_colours(len(explored.classes)),
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


def sample(
    labels: Int[np.ndarray, "N"], limit: int, rng: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """Returns positions of about `limit` pictures in random order.

    Each class has its share, but at least 20 pictures, or all that it has. Where 20 of each class
    are more than `limit`, they are as many as fit.

    Args:
      labels: Labels of all pictures.
      limit: How many to choose; the 20 of rare classes may come on top.
      rng: Makes the choice.
    """
    share, by_class = min(1.0, limit / max(1, len(labels))), positions_by_class(labels)
    least = min(_MIN_PER_CLASS, max(1, limit // len(by_class)))
    chosen = [
        rng.permutation(members)[: max(least, int(share * len(members)))]
        for members in by_class.values()
    ]
    return rng.permutation(np.concatenate(chosen))
