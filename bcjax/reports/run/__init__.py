"""What a run came to, told from what it left in its folder: a page, Markdown, figures, a card."""

import dataclasses
from pathlib import Path

from bcjax.data.prepared import PreparedSet
from bcjax.reports.pages import story
from bcjax.reports.pages.story import Block, Charts, Section, Story, Text
from bcjax.reports.run import calibrated, card, elsewhere, explained, gallery, robustness, sureness
from bcjax.reports.run.answer import answer, by_class
from bcjax.reports.run.artefacts import Artefacts, read
from bcjax.reports.run.limits import limits
from bcjax.reports.run.question import data, question
from bcjax.reports.run.training import training
from bcjax.runtime import files
from bcjax.runtime.run_dir import RunDir


@dataclasses.dataclass(frozen=True)
class Written:
    """The files of a report; `figures` is a folder beside the Markdown."""

    page: Path
    markdown: Path
    figures: Path
    card: Path


def write(workdir: Path, split: str = "", out: Path | None = None) -> Written:
    """Writes `report.html`, `report.md`, `figures/` and the model card.

    Args:
      workdir: The run's folder. What it lacks is left out, and said.
      split: The evaluation to report, by name; "": the one that the run ended with.
      out: The page, the rest beside it; None: in the workdir.

    Raises:
      UserError: If there is no run, it was not evaluated, or a file of it is damaged.
    """
    run = read(workdir, split)
    page = out or RunDir(workdir).report
    beside = RunDir(page.parent)
    written = Written(page, page.with_suffix(".md"), beside.figures, beside.card)
    told = tell(run)
    story.write_figures(told, written.figures)
    files.write_text(written.markdown, story.markdown(told))
    files.write_text(written.card, card.card(run))
    files.write_text(written.page, story.page(told))
    return written


def tell(run: Artefacts) -> Story:
    """Returns the report as sections; those with nothing to say say which command would."""
    ways = elsewhere.other_ways(run)
    sections = [
        Section("question", "Question", question(run)),
        Section("answer", "Answer", [*answer(run), *elsewhere.members(run)]),
        Section("classes", "By class", by_class(run)),
        Section("sureness", "How sure", _sureness(run)),
        Section("pictures", "Where it fails", _pictures(run)),
        Section("explained", "Why", list(explained.explained(run))),
        Section("elsewhere", "Other pictures", _elsewhere(run)),
        *([Section("ways", "Other ways to ask", ways)] if ways else []),
        Section("data", "Data", data(run)),
        Section("training", "Training", training(run)),
        Section("limits", "Limits", [Text(sentence) for sentence in limits(run)]),
    ]
    title = f"{run.config.model.name} on {run.source}"
    return Story(title, f"{run.workdir}, evaluation {run.name}", sections)


def _sureness(run: Artefacts) -> list[Block]:
    if run.answers is None:
        again = run.command("evaluate", f"--split={run.name}")
        return [Text(f"The answers themselves were not kept: {again} writes them.", "soft")]
    return [
        Charts(sureness.charts(run.answers, run.result["per_class"])),
        *calibrated.calibrated(run),
    ]


def _pictures(run: Artefacts) -> list[Block]:
    """The galleries, if the pictures are still those that were answered."""
    path = Path(run.pictures.get("path", ""))
    if run.answers is None:
        return _sureness(run)
    if run.result["source"] != run.config.data.source or not PreparedSet.is_at(path):
        return [Text("The pictures are no longer there to be shown.", "soft")]
    prepared = PreparedSet(path)
    if prepared.digest != run.pictures["digest"]:
        return [Text(f"{path} holds other pictures now: none is shown.", "soft")]
    return gallery.galleries(run.answers, prepared, run.split)


def _elsewhere(run: Artefacts) -> list[Block]:
    blocks: list[Block] = []
    if elsewhere.laboratories(run):
        blocks += elsewhere.other_data(run)
    else:
        command = run.command("evaluate", "--data.source=PICTURES")
        blocks.append(Text(f"No other laboratory's pictures were answered: {command}.", "soft"))
    return [*blocks, *robustness.robustness(run)]
