"""The comparison as a page, as Markdown and as JSON, with its charts for a paper."""

from pathlib import Path
from typing import Any

from bcjax.reports.comparison import charts, tables, words
from bcjax.reports.pages import story
from bcjax.reports.pages.numbers import listed
from bcjax.reports.pages.story import Block, Charts, Section, Story, Table, Text
from bcjax.runtime import files
from bcjax.runtime.run_dir import RunDir

_ANSWER = "Differences have 95 % intervals; p is corrected for the number of runs."
_RUNS = (
    "FLOPs are those of one picture's logits, a multiply-add counted as two. Training is the time "
    "of all sessions, compilation and evaluations included; images/s the median of the log lines."
)
_TESTS = (
    "Difference: paired bootstrap over the pictures, or over their groups where the data names "
    "them. Right and wrong: McNemar's exact test, which groups rule out. Holm: the p before it, "
    "corrected for the number of runs."
)
_CLASSES = "These intervals are not corrected for the number of classes."

Comparison = dict[str, Any]


def write(comparison: Comparison, out: Path) -> Path:
    """Writes compare.html, .md, .json and figures/*.png into a folder; returns the page's path."""
    told = tell(comparison)
    story.write_figures(told, RunDir(out).figures)
    files.write_json(out / "compare.json", comparison)
    files.write_text(out / "compare.md", story.markdown(told))
    files.write_text(out / "compare.html", story.page(told))
    return out / "compare.html"


def tell(comparison: Comparison) -> Story:
    """Returns the sections, from the answer to what it rests on."""
    names = [run["name"] for run in comparison["runs"]]
    sections: dict[str, tuple[str, list[Block]]] = {
        "answer": ("Answer", _answer(comparison)),
        "runs": ("Runs", [Text(_RUNS, "soft"), tables.runs(comparison)]),
        "tests": (
            "Tests on the same pictures",
            [Text(_TESTS, "soft"), tables.tests(comparison)],
        ),
        "metrics": ("Metrics", [tables.metrics(comparison)]),
        "cost": ("Cost", _cost(comparison)),
        "learning": ("Learning", _learning(comparison)),
        "classes": ("Classes", _classes(comparison)),
        "settings": ("Settings that differ", _settings(comparison)),
    }
    return Story(
        f"{listed(names)}, compared" if len(names) < 4 else f"{len(names)} runs compared",
        f"evaluation {comparison['evaluation']}, {comparison['n']:,} pictures, "
        f"{len(comparison['classes'])} classes; each run against {comparison['reference']}",
        [Section(id_, title, blocks) for id_, (title, blocks) in sections.items()],
    )


def _answer(comparison: Comparison) -> list[Block]:
    cautions = [Text(note, "bad") for note in comparison["notes"]]
    verdicts = [
        Text(test["sentence"], "good" if test["significant"] else "")
        for test in comparison["tests"]
    ]
    return [*verdicts, Text(_ANSWER, "soft"), *cautions, Charts(charts.scores(comparison))]


def _cost(comparison: Comparison) -> list[Block]:
    if not comparison["pareto"]:
        return [Text("All runs cost the same.")]
    rows = [[charts.COSTS[c].label, listed(best)] for c, best in comparison["pareto"].items()]
    said = f"No run beats these in {words.metric(comparison['metric'])} at that cost or less"
    return [Charts(charts.costs(comparison)), Table(["cost", "front"], rows, said, words=2)]


def _learning(comparison: Comparison) -> list[Block]:
    drawn = charts.curves(comparison)
    return [Charts(drawn)] if drawn else [Text("No run has written down how it learned.")]


def _classes(comparison: Comparison) -> list[Block]:
    said = f"Recall, less that of {comparison['reference']} on the same pictures. {_CLASSES}"
    return [
        Charts([charts.classes(comparison)]),
        tables.recalls(comparison),
        Text(said, "soft"),
        tables.differences(comparison),
    ]


def _settings(comparison: Comparison) -> list[Block]:
    return [tables.settings(comparison) if comparison["settings"] else Text("None.")]
