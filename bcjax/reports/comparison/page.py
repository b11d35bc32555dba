"""The comparison as a page: its sections and tables, and the files that they are written to."""

from pathlib import Path

from bcjax.config import ImageSize
from bcjax.metrics.names import metric_name
from bcjax.reports import cost
from bcjax.reports.comparison import charts
from bcjax.reports.comparison.comparison import Comparison
from bcjax.reports.comparison.significance import PairedTest
from bcjax.reports.pages import formatting
from bcjax.reports.pages.formatting import NONE, enumeration, value_with_interval
from bcjax.reports.pages.page import Block, Charts, Page, Section, Table, Text, write_page
from bcjax.runtime import files

_RESULTS = (
    "Differences have 95 % intervals, not corrected for the number of comparisons; p is corrected "
    "for it. The interval of two single runs says how much other pictures would change; of several "
    "seeds each, how much other seeds and pictures would."
)
_COSTS = (
    "FLOPs are what the logits of one picture take; a multiply-add counts as two. The file holds "
    "parameters and batch statistics. The training time includes compilation and evaluations; "
    "images/s in training is the median over the log lines. Answers were measured for each run's "
    "first report, on the machine named: times of different machines cannot be compared."
)
_TESTS = (
    "Runs that differ in their seed alone are compared as one. Where both have several seeds, "
    "interval and p of the difference are Student's t over seeds and pictures. Where one has a "
    "single run, the interval is from a paired bootstrap over the pictures, or over their groups "
    "where the data names groups; it holds no seed noise, so it has no p. McNemar's exact test "
    "compares two single networks, by the pictures that only one of them predicts correctly; it is "
    "left out where there are groups, because their pictures are not independent. Each column Holm "
    "is the p before it, corrected for the number of tests."
)
_CLASSES = "These intervals are not corrected for the number of classes."


def write_comparison(comparison: Comparison, out: str | Path) -> Path:
    """Writes `compare.html`, `.md`, `.json` and `figures/*.png` into a folder.

    Returns:
      The path of the HTML page.
    """
    path = Path(out) / "compare.html"
    page = comparison_page(comparison)
    files.write_json(path.with_suffix(".json"), comparison.to_dict())
    write_page(page, path)
    return path


def comparison_page(comparison: Comparison) -> Page:
    """Returns the comparison as a page, from the results to what they rest on."""
    sections = [
        Section("Results", _results(comparison)),
        Section("Runs", [runs_table(comparison)]),
        Section("Tests on the same pictures", _tests(comparison)),
        Section("Metrics", [metrics_table(comparison)]),
        Section("Cost", _cost(comparison)),
        Section("Learning", _learning(comparison)),
        Section("Classes", _classes(comparison)),
        Section("Settings that differ", _settings(comparison)),
    ]
    names = comparison.names
    return Page(
        f"{enumeration(names)}, compared" if len(names) < 4 else f"{len(names)} runs compared",
        f"evaluation {comparison.evaluation}, {comparison.n:,} pictures, "
        f"{len(comparison.classes)} classes; against {comparison.reference}",
        sections,
    )


def runs_table(comparison: Comparison) -> Table:
    """Returns what each run is, and how it scores."""
    head = ["run", "network", "trained on", "px", metric_name(comparison.metric)]
    rows = [
        [
            run.name,
            run.network,
            run.cost.hardware or NONE,
            str(ImageSize.of(run.cost.image_size)),
            value_with_interval(run.metrics[comparison.metric]),
        ]
        for run in comparison.runs
    ]
    return Table(head, rows, text_columns=3)


def costs_table(comparison: Comparison) -> Table:
    """Returns what each run costs: its network, its training, its answers."""
    costs = [cost.rows(run.cost) for run in comparison.runs]
    head = ["run", "answers measured on", *(name for name, _, _ in costs[0])]
    rows = [
        [
            run.name,
            run.cost.inference.hardware if run.cost.inference else NONE,
            *(value for _, value, _ in each),
        ]
        for run, each in zip(comparison.runs, costs, strict=True)
    ]
    return Table(head, rows, text_columns=2)


def seeds_table(comparison: Comparison) -> Table:
    """Returns the metric of each config over its seeds; no rows where all have a single run."""
    rows = [
        [
            group.name,
            formatting.number(group.metric.mean),
            formatting.number(group.metric.deviation),
            formatting.interval(group.metric),
            group.metric.interval or NONE,
            f"{group.metric.n:,}",
        ]
        for group in comparison.groups
    ]
    metric = metric_name(comparison.metric)
    head = ["config", f"{metric}, mean", "deviation", "95 % interval of the mean", "how", "runs"]
    several = any(len(group.runs) > 1 for group in comparison.groups)
    return Table(head, rows if several else [])


def metrics_table(comparison: Comparison) -> Table:
    """Returns each metric of each run."""
    rows = [
        [
            metric_name(key),
            *(value_with_interval(run.metrics.get(key)) for run in comparison.runs),
        ]
        for key in comparison.runs[0].metrics
    ]
    return Table(["metric", *comparison.names], rows)


def tests_table(comparison: Comparison) -> Table:
    """Returns the tests of each config against the first."""
    reference, metric = comparison.reference, metric_name(comparison.metric)
    head = ["run", f"{metric} minus that of {reference}", "p", "Holm"]
    head += ["right only here", f"right only in {reference}", "McNemar p", "Holm"]
    rows = [
        [
            test.run,
            formatting.difference(test.difference),
            formatting.p_value(test.difference.p),
            formatting.p_value(test.p_holm),
            *_mcnemar(test),
        ]
        for test in comparison.tests
    ]
    return Table(head, rows)


def _tests(comparison: Comparison) -> list[Block]:
    tables = [table for table in (seeds_table(comparison), tests_table(comparison)) if table.rows]
    return [Text(_TESTS, "soft"), *tables]


def _mcnemar(test: PairedTest) -> list[str]:
    if test.mcnemar is None:
        return [NONE] * 4
    return [
        f"{test.mcnemar.only_first:,}",
        f"{test.mcnemar.only_second:,}",
        formatting.p_value(test.mcnemar.p),
        formatting.p_value(test.mcnemar_p_holm),
    ]


def _results(comparison: Comparison) -> list[Block]:
    verdicts = [
        Text(test.sentence, "good" if test.significant else "") for test in comparison.tests
    ]
    notes = [Text(note, "bad") for note in (*comparison.cautions, *comparison.notes)]
    drawn = charts.metric_charts(comparison)
    if comparison.by is not None:
        drawn.append(charts.setting_chart(comparison, comparison.by))
    return [*notes, *verdicts, Text(_RESULTS, "soft"), Charts(drawn)]


def _cost(comparison: Comparison) -> list[Block]:
    costs: list[Block] = [Text(_COSTS, "soft"), costs_table(comparison)]
    if not comparison.pareto:
        return [*costs, Text("All runs cost the same.")]
    rows = [
        [charts.COST_AXES[kind].label, enumeration(names)]
        for kind, names in comparison.pareto.items()
    ]
    metric = metric_name(comparison.metric)
    caption = f"The runs that no other run beats in both the cost and {metric}"
    table = Table(["cost", "runs"], rows, caption, text_columns=2)
    return [*costs, Charts(charts.cost_charts(comparison)), table]


def _learning(comparison: Comparison) -> list[Block]:
    drawn = charts.learning_charts(comparison)
    return [Charts(drawn)] if drawn else [Text("No run has recorded how it learned.")]


def _classes(comparison: Comparison) -> list[Block]:
    names = comparison.names
    recalls = [
        [row.name, f"{row.n:,}", *(value_with_interval(row.recall[name]) for name in names)]
        for row in comparison.per_class
    ]
    others = [group.name for group in comparison.groups[1:]]
    differences = [
        [row.name, *(formatting.difference(row.difference[name]) for name in others)]
        for row in comparison.per_class
    ]
    about = f"Recall minus that of {comparison.reference}, on the same pictures. {_CLASSES}"
    blocks: list[Block] = [
        Charts([charts.recall_chart(comparison)]),
        Table(["class", "n", *names], recalls),
    ]
    if others:
        blocks += [Text(about, "soft"), Table(["class", *others], differences)]
    return blocks


def _settings(comparison: Comparison) -> list[Block]:
    if not comparison.settings:
        return [Text("None.")]
    rows = [
        [setting.key, *map(formatting.setting, setting.values)] for setting in comparison.settings
    ]
    return [Table(["setting", *comparison.names], rows, text_columns=1 + len(comparison.names))]
