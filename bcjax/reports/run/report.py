"""The report of a run: `report.html`, `report.md`, its figures, and the model card."""

import dataclasses
from pathlib import Path

from bcjax.reports import cost
from bcjax.reports.pages.page import Page, Section, Text, write_page
from bcjax.reports.run import (
    calibration,
    gallery,
    latex_tables,
    model_card,
    other_evaluations,
    other_runtimes,
    performance,
    training,
)
from bcjax.reports.run_record import RunRecord, read_run
from bcjax.runtime import files
from bcjax.runtime.run_dir import RunDir


@dataclasses.dataclass(frozen=True)
class Report:
    """The files of a report.

    Attributes:
      html: The page, which needs no other file.
      markdown: The same as Markdown.
      figures: The folder of the images that the Markdown shows.
      model_card: The model card, as Hugging Face reads it.
      latex: The document for LaTeX, with its tables and figures beside it; None if it was not asked
        for.
    """

    html: Path
    markdown: Path
    figures: Path
    model_card: Path
    latex: Path | None = None


def write_report(
    workdir: str | Path, split: str = "", out: str | Path | None = None, *, latex: bool = False
) -> Report:
    """Writes the report of a run.

    Args:
      workdir: The folder of the run. What is missing there is left out of the report, which then
        names the command that makes it.
      split: Name of the evaluation to report; "": the one that the run ended with.
      out: The HTML file to write, with the other files beside it; None: `report.html` in the
        folder of the run.
      latex: Whether the tables and figures are written for LaTeX, too.

    Raises:
      UserError: If there is no run, it was not evaluated, or a file of it is damaged.
    """
    run = read_run(Path(workdir), split)
    cost.measure(run)
    html = Path(out) if out else run.run_dir.report
    beside = RunDir(html.parent)
    document = beside.latex / "report.tex" if latex else None
    report = Report(html, html.with_suffix(".md"), beside.figures, beside.card, document)
    page = report_page(run)
    files.write_text(report.model_card, model_card.model_card(run))
    write_page(page, html)
    if latex:
        latex_tables.write(run, page, beside.latex)
    return report


def report_page(run: RunRecord) -> Page:
    """Returns the report as a page; a section without figures names the command for them."""
    averages = other_evaluations.averages(run)
    sections = [
        Section("Task", training.task(run)),
        Section("Results", [*performance.overall(run), *other_evaluations.members(run)]),
        Section("By class", performance.by_class(run)),
        Section("Network", performance.drawn_network(run)),
        Section("Cost", performance.costs(run)),
        Section("Confidence and calibration", calibration.confidence(run)),
        Section("Errors", gallery.errors(run)),
        Section("Explanations", gallery.explanations(run)),
        Section(
            "Other data", [*other_evaluations.other_data(run), *other_evaluations.corruptions(run)]
        ),
        *([Section("Averages", averages)] if averages else []),
        Section("Other runtimes", other_runtimes.other_runtimes(run)),
        Section("Data", training.data(run)),
        Section("Training", training.training(run)),
        Section("Limitations", [Text(each) for each in model_card.limitations(run)]),
    ]
    title = f"{run.config.model.name} on {run.source}"
    return Page(title, f"{run.run_dir}, evaluation {run.name}", sections)
