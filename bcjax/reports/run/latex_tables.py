"""The report for LaTeX: its tables, its charts as PDF, and the document that includes them."""

import dataclasses
from pathlib import Path

from bcjax.reports.pages import charts, latex
from bcjax.reports.pages.page import Page, Table, all_charts
from bcjax.reports.run import performance
from bcjax.reports.run_record import RunRecord
from bcjax.runtime import files


def write(run: RunRecord, page: Page, folder: Path) -> None:
    """Writes `report.tex`, a file for each table, and a PDF for each chart of the page.

    Args:
      run: The run.
      page: Its report, whose charts are written.
      folder: Where to write; it is made where it is missing.
    """
    parts = []
    for name, table in _tables(run).items():
        files.write_text(folder / f"{name}.tex", latex.table(table, name))
        parts.append(f"\\input{{{name}}}\n")
    for chart in all_charts(page):
        path = folder / f"{chart.name}.pdf"
        with charts.style():
            charts.write(chart.figure, path)
        parts.append(latex.figure(chart, path.name))
    about = [page.subtitle, *(f"Caution: {caution}" for caution in run.cautions)]
    files.write_text(folder / "report.tex", latex.document(page.title, about, parts))


def _tables(run: RunRecord) -> dict[str, Table]:
    """Returns the tables by name; a figure's caption holds what it must not be read without."""
    cautions = "".join(f". Caution: {caution.rstrip('.')}" for caution in run.cautions)
    figures = {
        "metrics": performance.metrics_table(run),
        "classes": performance.class_table(run),
        "confusion": performance.confusion_table(run),
    }
    found = {
        name: dataclasses.replace(table, caption=table.caption.rstrip(".") + cautions)
        for name, table in figures.items()
        if table
    }
    costs = next((block for block in performance.costs(run) if isinstance(block, Table)), None)
    return found | ({"costs": dataclasses.replace(costs, caption="What it costs")} if costs else {})
