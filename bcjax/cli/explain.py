"""Draw which parts of pictures a network's predictions rest on.

  bcjax explain --workdir=runs/a
  bcjax explain --workdir=runs/a --method=grad-cam++ --stage=stage3 cell.jpg other.jpg
  bcjax explain --workdir=runs/a --nowrong --pictures=100 --target=true

It explains the pictures that are named (files, or ids of the split), or else the most confidently
wrong ones of the split. It replaces explain/ in the workdir: a picture with overlays of each,
sheet.png, and explain.json, which also says how far the maps depend on what was learnt and, for
drawn cells, how much of them falls on the cell.
"""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bcjax.cli import flags
from bcjax.cli.flags import CHECKPOINT, Arguments, Flag
from bcjax.runtime import jax_settings

if TYPE_CHECKING:
    from bcjax.engine.network import RestoredNetwork
    from bcjax.evaluation.explanation.explanation import Explanation
    from bcjax.evaluation.explanation.selection import ImageToExplain
    from bcjax.evaluation.explanation.summary import ExplanationSummary

TAKES_WORDS = True
FLAGS = (
    flags.workdir("the run to explain"),
    CHECKPOINT,
    Flag(
        "method",
        "The method.",
        "all",
        ("grad-cam", "grad-cam++", "integrated-gradients", "occlusion", "all"),
    ),
    Flag("stage", "The stage whose map Grad-CAM reads; default: the last that is fine enough.", ""),
    Flag("pictures", "How many pictures to explain, if none is named.", 8, int, least=1),
    Flag(
        "wrong",
        "The most confidently wrong of the split; --nowrong: evenly from all of it.",
        True,
        bool,
    ),
    flags.split("The split that the pictures are from."),
    Flag("target", "The class that is explained: predicted, true or a name.", "predicted"),
    Flag("sanity", "Draw some again with the parameters randomised.", True, bool),
)


@jax_settings.fixed()
def run(arguments: Arguments) -> None:
    workdir, named = arguments.workdir, arguments.words
    from bcjax.engine import network
    from bcjax.evaluation.explanation import explanation, sanity_checks, selection
    from bcjax.evaluation.explanation.explainer import METHODS, Explainer, explain, targets
    from bcjax.evaluation.explanation.summary import ExplanationSummary
    from bcjax.runtime import compilation
    from bcjax.runtime import mesh as meshes

    compilation.use_cache()
    trained = network.load(workdir, arguments.checkpoint, meshes.create())
    methods = METHODS if arguments.method == "all" else (arguments.method,)
    explainer = Explainer(trained, methods, arguments.stage)
    if named:
        images = selection.named(named, trained.config.data, arguments.split)
    else:
        images = _chosen(trained, arguments)

    def show(one: "Explanation") -> None:
        label = "" if one.image.label is None else f" (is {one.classes[one.image.label]})"
        print(f"{one.image.id}: {one.label} {one.probability:.1%}{label}")

    classes = targets(arguments.target, images, trained.classes)
    explanations = explain(explainer, trained, images, classes, show)
    sanity = None
    if arguments.sanity:
        sanity = sanity_checks.randomisation_test(explainer, trained, explanations)
    summary = ExplanationSummary(
        checkpoint=trained.step,
        split="" if named else arguments.split,
        chosen="named" if named else "most wrong" if arguments.wrong else "evenly",
        target=arguments.target,
        methods=methods,
        stage=explainer.stage,
        map=explainer.shape[:2],
        sanity=sanity,
        localisation=sanity_checks.localisation(trained, explanations),
    )
    folder = explanation.write(workdir, explanations, summary)
    Console().print(_table(summary))
    print(f"written to {folder}")


def _chosen(trained: "RestoredNetwork", arguments: Arguments) -> list["ImageToExplain"]:
    """Returns images of the split: the worst mistakes, or some that are evenly spaced."""
    from bcjax.evaluation.evaluation import kept_answers
    from bcjax.evaluation.evaluator import Evaluator
    from bcjax.evaluation.explanation import selection

    data, split, workdir = trained.config.data, arguments.split, arguments.workdir
    if not arguments.wrong:
        return selection.at(selection.evenly_spaced(data, split, arguments.pictures), data, split)
    answers = kept_answers(workdir, split, trained.step)
    if answers is None:
        print(f"No answers to {split} are kept of step {trained.step}: answering it first.")
        answers = Evaluator(workdir, split=split).answers(trained)
    return selection.at(selection.most_wrong(answers, arguments.pictures), data, split)


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
