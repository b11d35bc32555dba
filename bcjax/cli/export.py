"""Write a trained run for other runtimes: files that answer as the run does, each checked.

  bcjax export --workdir=runs/a
  bcjax export --workdir=runs/a --format=onnx,litert_int8 --out=for_the_clinic/

Formats: onnx; onnx_int8, in 8 bits; litert (once TensorFlow Lite), litert_float16, litert_int8;
stablehlo, for JAX; safetensors, a folder as Hugging Face has it, which bcjax.load reads back;
webapp, a page that answers in the browser (see bcjax app).

A file takes uint8 RGB pictures of the run's size, any number at a time, and gives calibrated
probabilities and, after bcjax calibrate, how strange each picture is. Each file is run on 200
pictures that the network was not trained on: it must give the same classes, and probabilities that
differ by less than 0.0001. Of formats with fewer bits the accuracy on 1,000 pictures may fall by
--max-loss. Otherwise nothing is written and the exit status is 1. Beside the files are
model.json (classes, preparation of pictures, thresholds) and certificate.json (what was checked).

Several runs (--with), checkpoints or the members of a run become one file, which answers by the
mean of their probabilities.
"""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from bcjax.cli import flags
from bcjax.cli.flags import CHECKPOINT, Arguments, Flag
from bcjax.runtime.run_dir import RunDir

if TYPE_CHECKING:
    from bcjax.exports.exported import Exported
    from bcjax.metrics.resampling import Difference

FLAGS = (
    flags.workdir("the run to export"),
    dataclasses.replace(
        CHECKPOINT, meaning="best, latest or a step; several, by comma, are averaged."
    ),
    Flag("with", "Further runs, by comma, to average with --workdir.", [], list, path=True),
    Flag("format", "Formats, by comma; see above.", ["onnx"], list),
    Flag("max-loss", "How much the accuracy may fall in formats with fewer bits.", 0.02, float),
    Flag("views", "Views of each picture to average within it: flip, turn."),
    Flag("out", "The folder to write to; default: export/ in the workdir.", kind=Path),
)


def run(arguments: Arguments) -> None:
    from bcjax import api
    from bcjax.cli import tables
    from bcjax.exports.certificate import FailedCheckError

    workdirs, checkpoint = [arguments.workdir, *getattr(arguments, "with")], arguments.checkpoint
    several = len(workdirs) > 1 or "," in checkpoint or RunDir(arguments.workdir).members()
    try:
        exported = api.export(
            workdirs if several else arguments.workdir,
            arguments.out,
            formats=arguments.format,
            checkpoint=checkpoint,
            max_loss=arguments.max_loss,
            views=arguments.views,
        )
    except FailedCheckError as error:
        sys.exit(f"{error} Nothing was written.")
    shown = _table(exported), "Points are of accuracy, out of 100; ms is the median of one picture."
    Console().print(*tables.cautions(exported.cautions), *shown, sep="\n")
    files = ", ".join(each.file for each in exported.certificates)
    print(f"written to {exported.folder}: {files}")


def _loss(lost: "Difference") -> str:
    if lost.value is None or lost.low is None or lost.high is None:
        return "-"
    return f"{100 * lost.value:.1f} ({100 * lost.low:.1f} to {100 * lost.high:.1f})"


def _table(exported: "Exported") -> Table:
    first = exported.certificates[0]
    title = f"Checked on pictures of the {first.split} split, on {first.hardware}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("format", no_wrap=True)
    for name in ("MB", "same class", "differs by", "points lost", "ms"):
        table.add_column(name, justify="right")
    for each in exported.certificates:
        table.add_row(
            each.format,
            f"{each.bytes / 1e6:.2f}",
            f"{each.same_label} of {each.n}",
            f"{each.difference:.1e}",
            _loss(each.loss),
            f"{each.p50_ms:.2f}",
        )
    return table
