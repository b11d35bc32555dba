"""Write the report of a run: one page, the same as Markdown, its figures, and a model card.

  bcjax report --workdir=runs/a
  bcjax report --workdir=runs/a --split=val --out=val.html
  bcjax report --workdir=runs/a --latex

The page holds everything that it needs and can be sent as it is. Every figure comes from what
evaluate and other commands wrote to the workdir; for a figure that is missing, the page names the
command that writes it. Beside it are written report.md, figures/*.png (300 dpi) and the model card,
README.md. With --latex there is also the folder latex/: a booktabs table of the metrics, of the
classes, of the confusion matrix and of the costs, each chart as PDF, and report.tex, which includes
all of them and compiles with pdflatex, xelatex or tectonic.
"""

from pathlib import Path

from bcjax.cli import flags
from bcjax.cli.flags import Arguments, Flag
from bcjax.runtime.errors import UserError

FLAGS = (
    flags.workdir("the run to report"),
    Flag("split", "The evaluation to report; default: the one that the run ended with.", ""),
    Flag("out", "The page to write; default: report.html in the workdir.", kind=Path),
    Flag("latex", "Write the tables and figures for LaTeX, too.", False, bool),
)


def run(arguments: Arguments) -> None:
    if arguments.out and arguments.out.suffix != ".html":
        raise UserError(f"--out={arguments.out} is no page: give a file such as report.html.")
    from bcjax import api

    report = api.report(arguments.workdir, arguments.split, arguments.out, latex=arguments.latex)
    size = report.html.stat().st_size / 1e6
    print(
        f"written to {report.html} ({size:.1f} MB), {report.markdown.name}, "
        f"{report.figures.name}/ and {report.model_card.name}"
        + (f"; LaTeX: {report.latex}" if report.latex else "")
    )
