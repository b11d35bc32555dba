"""Draw which parts of pictures a network's predictions rest on.

  bcjax explain --workdir=runs/a
  bcjax explain --workdir=runs/a --method=grad-cam++ --stage=stage3 cell.jpg other.jpg
  bcjax explain --workdir=runs/a --nowrong --pictures=100 --target=true

It explains the pictures that are named (files, or ids of the split), or else the most confidently
wrong ones of the split. It replaces explain/ in the workdir: a picture with overlays of each,
sheet.png, and explain.json, which also says how far the maps depend on what was learnt and, for
drawn cells, how much of them falls on the cell.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console
from rich.table import Table

from bcjax.cli import flags as cli_flags
from bcjax.data.records import SPLITS
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.engine.network import RestoredNetwork
    from bcjax.evaluation.explanation.explanation import Explanation
    from bcjax.evaluation.explanation.selection import ImageToExplain
    from bcjax.evaluation.explanation.summary import ExplanationSummary

_METHODS = ("grad-cam", "grad-cam++", "integrated-gradients", "occlusion", "all")


def define(values: flags.FlagValues, argv: list[str]) -> None:
    cli_flags.define_path(values, "workdir", None, "The run's folder.")
    flags.DEFINE_string("checkpoint", "best", "best, latest or a step.", flag_values=values)
    flags.DEFINE_enum("method", "all", _METHODS, "The method.", flag_values=values)
    flags.DEFINE_string(
        "stage", "", "The stage whose map Grad-CAM reads; default: the last that is fine enough.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "pictures", 8, "How many pictures to explain, if none is named.", 1, flag_values=values
    )
    flags.DEFINE_boolean(
        "wrong", True, "The most confidently wrong of the split; --nowrong: evenly from all of it.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_enum(
        "split", "test", SPLITS, "The split that the pictures are from.", flag_values=values
    )
    flags.DEFINE_string(
        "target", "predicted", "The class that is explained: predicted, true or a name.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "sanity", True, "Draw some again with the parameters randomised.", flag_values=values
    )


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if not values.workdir:
        raise UserError("Give the run to explain, such as --workdir=runs/elu_cnn.")
    workdir, console = Path(values.workdir), Console()
    # Imported here, because JAX takes a second: a mistake in the flags should show before that.
    from bcjax.engine import network
    from bcjax.evaluation.explanation import explanation, sanity_checks, selection
    from bcjax.evaluation.explanation.explainer import METHODS, Explainer, explain, targets
    from bcjax.evaluation.explanation.summary import ExplanationSummary
    from bcjax.runtime import compilation
    from bcjax.runtime import mesh as meshes

    compilation.use_cache()
    trained = network.load(workdir, values.checkpoint, meshes.create())
    methods = METHODS if values.method == "all" else (values.method,)
    explainer = Explainer(trained, methods, values.stage)
    if positional:
        images = selection.named(positional, trained.config.data, values.split)
    else:
        images = _chosen(workdir, trained, values, console)

    def show(one: "Explanation") -> None:
        label = "" if one.image.label is None else f" (is {one.classes[one.image.label]})"
        line = f"{one.image.id}: {one.label} {one.probability:.1%}{label}"
        console.print(line, highlight=False, soft_wrap=True)

    classes = targets(values.target, images, trained.classes)
    explanations = explain(explainer, trained, images, classes, show)
    sanity = None
    if values.sanity:
        sanity = sanity_checks.randomisation_test(explainer, trained, explanations)
    summary = ExplanationSummary(
        checkpoint=trained.step,
        split="" if positional else values.split,
        chosen="named" if positional else "most wrong" if values.wrong else "evenly",
        target=values.target,
        methods=methods,
        stage=explainer.stage,
        map=explainer.shape[:2],
        sanity=sanity,
        localisation=sanity_checks.localisation(trained, explanations),
    )
    folder = explanation.write(workdir, explanations, summary)
    console.print(_table(summary))
    console.print(f"written to {folder}", highlight=False, soft_wrap=True)
    return 0


def _chosen(
    workdir: Path, trained: "RestoredNetwork", values: flags.FlagValues, console: Console
) -> list["ImageToExplain"]:
    """Returns images of the split: the worst mistakes, or some that are evenly spaced."""
    from bcjax.evaluation.evaluation import kept_answers
    from bcjax.evaluation.evaluator import Evaluator
    from bcjax.evaluation.explanation import selection

    data, split = trained.config.data, values.split
    if not values.wrong:
        return selection.at(selection.evenly_spaced(data, split, values.pictures), data, split)
    answers = kept_answers(workdir, split, trained.step)
    if answers is None:
        console.print(f"No answers to {split} are kept of step {trained.step}: answering it first.")
        answers = Evaluator(workdir, split=split).answers(trained)
    return selection.at(selection.most_wrong(answers, values.pictures), data, split)


def _table(summary: "ExplanationSummary") -> Table:
    """Returns how far each method's maps can be believed."""
    sanity, localised = summary.sanity, summary.localisation
    table = Table(title=f"maps of {summary.stage}" if summary.stage else None)
    table.add_column("method", no_wrap=True)
    if sanity:
        table.add_column("like one of random parameters", justify="right")
    if localised:
        title = f"energy on the cell (area {localised.area:.1%}, n = {localised.n})"
        table.add_column(title, justify="right")
        table.add_column("maximum on the cell", justify="right")
    for name in summary.methods:
        row = [name]
        if sanity:
            value = sanity[name].rank_correlation
            row.append("-" if value is None else f"{value:.2f} (n = {sanity[name].n})")
        if localised:
            on_cell = localised.methods[name]
            row += [f"{on_cell.energy:.1%}", f"{on_cell.pointing:.1%}"]
        table.add_row(*row)
    return table
