"""Write the report of a run: one page, the same as Markdown, its figures, and a model card.

  bcjax report --workdir=runs/a
  bcjax report --workdir=runs/a --split=val --out=val.html

The page holds everything that it needs and can be sent as it is. Every figure comes from what
evaluate and other commands wrote to the workdir; for a figure that is missing, the page names the
command that writes it. Beside it are written report.md, figures/*.png (300 dpi) and the model card,
README.md.
"""

from pathlib import Path

from absl import flags
from rich.console import Console

from bcjax.cli import flags as cli_flags
from bcjax.runtime.errors import UserError


def define(values: flags.FlagValues, argv: list[str]) -> None:
    cli_flags.define_path(values, "workdir", None, "The run's folder.")
    flags.DEFINE_string(
        "split", "", "The evaluation to report; default: the one that the run ended with.",
        flag_values=values,
    )  # fmt: skip
    cli_flags.define_path(
        values, "out", None, "The page to write; default: report.html in the workdir."
    )


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax report takes flags only, not {positional[0]!r}.")
    if not values.workdir:
        raise UserError("Give the run to report, such as --workdir=runs/elu_cnn.")
    if values.out and Path(values.out).suffix != ".html":
        raise UserError(f"--out={values.out} is no page: give a file such as report.html.")
    # Here, because matplotlib and TFDS take seconds to import, and a mistake in the flags should
    # show before that.
    from bcjax.reports.run import write_report

    report = write_report(values.workdir, values.split, values.out)
    size = report.html.stat().st_size / 1e6
    Console().print(
        f"written to {report.html} ({size:.1f} MB), {report.markdown.name}, "
        f"{report.figures.name}/ and {report.model_card.name}",
        highlight=False,
        soft_wrap=True,
    )
    return 0
