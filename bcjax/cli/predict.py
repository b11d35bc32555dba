"""Label pictures, or all pictures in folders, with a trained network.

  bcjax predict --workdir=runs/a cell.jpg more_cells/
  bcjax predict --workdir=runs/a --out=night.parquet scans/ "old/*/cells" slides.zip list.csv
  bcjax predict --workdir=runs/a --json cell.jpg
  bcjax predict --workdir=runs/a --with=runs/b,runs/c cell.jpg
  bcjax predict --workdir=runs/a --prevalence=neutrophil=0.6,lymphocyte=0.4 cell.jpg

Prints a table; --json a list of objects, --csv comma-separated lines with a header. After `bcjax
calibrate`, probabilities are calibrated, and pictures that are uncertain or not cells are marked.

Pictures are files, folders, patterns, CSV lists (a column filename, file, path or image), zip files
and prepared sets. With --out they are written to a file as they come: .parquet, .csv or .jsonl. The
same command goes on where it was interrupted. Pictures that cannot be read are listed beside it, in
FILE.unreadable.csv.

Several runs (--with), checkpoints or the members of a run answer together, by the mean of their
probabilities. For each picture stands how much they disagree: the mutual information, in nats.
"""

import contextlib
import csv
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bcjax.cli import flags
from bcjax.cli.flags import BATCH_SIZE, CHECKPOINT, JSON, PREVALENCE, Arguments, Flag
from bcjax.runtime.errors import UserError
from bcjax.runtime.live_line import LiveLine
from bcjax.runtime.run_dir import RunDir

if TYPE_CHECKING:
    from bcjax.evaluation.calibration.calibration import Calibration
    from bcjax.evaluation.picture_stream import Pictures
    from bcjax.evaluation.predictions import Predictions
    from bcjax.evaluation.predictor import Predictor
    from bcjax.evaluation.prevalence import Prevalence
    from bcjax.evaluation.trained_ensemble import TrainedEnsemble

TAKES_WORDS = True
FLAGS = (
    flags.workdir("the trained network"),
    dataclasses.replace(
        CHECKPOINT, meaning="best, latest or a step; several, by comma, are averaged."
    ),
    Flag("with", "Further runs, by comma, to average with --workdir.", [], list, path=True),
    PREVALENCE,
    dataclasses.replace(BATCH_SIZE, default=64),
    Flag("data.max_pixels", "The most pixels of a picture; else as the run's.", kind=int, least=1),
    Flag(
        "backend",
        "jax, or onnx for the file that bcjax export wrote to the run.",
        "jax",
        ("jax", "onnx"),
    ),
    JSON,
    Flag("csv", "Print CSV instead of a table.", False, bool),
    Flag("out", "Write to this file instead: .parquet, .csv or .jsonl.", kind=Path),
)


def run(arguments: Arguments) -> None:
    if not arguments.words:
        raise UserError("Give pictures or folders to label.")
    if arguments.out and (arguments.json or arguments.csv):
        raise UserError("--out writes the format that its ending says: leave out --json and --csv.")
    from bcjax import api
    from bcjax.evaluation import prediction_file
    from bcjax.evaluation.picture_stream import open_pictures

    if arguments.out:
        prediction_file.check(arguments.out)
    pictures = open_pictures(arguments.words)  # before the checkpoint is read, which takes longer
    workdirs, checkpoint = [arguments.workdir, *getattr(arguments, "with")], arguments.checkpoint
    several = len(workdirs) > 1 or "," in checkpoint or RunDir(arguments.workdir).members()
    run = workdirs if several else arguments.workdir
    network = api.load(
        run, checkpoint, max_pixels=arguments.data_max_pixels, backend=arguments.backend
    )
    if arguments.out:
        _write(network, pictures, arguments)
        return
    predictions = network.predict(pictures, arguments.batch_size, prevalence=arguments.prevalence)
    if arguments.json:
        print(json.dumps([each.to_dict() for each in predictions], indent=2))
    elif arguments.csv:
        _print_csv(predictions)
    else:
        caption = _caption(arguments, network.calibration, predictions.prevalence)
        Console().print(_table(predictions, caption))
    if bad := predictions.unreadable:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in bad)
        total = len(predictions) + len(bad)
        raise UserError(f"{len(bad)} of {total} pictures cannot be read ({reasons}).")


def _write(
    network: "Predictor | TrainedEnsemble", pictures: "Pictures", arguments: Arguments
) -> None:
    """Writes the predictions to a file, and says how far it is."""
    from bcjax.evaluation import prediction_file

    line = _PicturesLine(Console(stderr=True))
    with contextlib.closing(line):
        written = prediction_file.write(
            network,
            pictures,
            arguments.out,
            arguments.batch_size,
            prevalence=arguments.prevalence,
            progress=line.show,
        )
    before = f" ({written.resumed:,} of them before)" if written.resumed else ""
    if bad := written.unreadable:
        raise UserError(
            f"{bad:,} of {written.pictures:,} pictures cannot be read: "
            f"{prediction_file.unreadable_path(written.path)} says why; {written.path} holds the "
            f"labels of the others{before}."
        )
    print(f"{written.pictures:,} pictures are labelled in {written.path}{before}.")


class _PicturesLine:
    """One live line: pictures, pictures/s, time left."""

    def __init__(self, console: Console):
        self._console = console
        self._line: LiveLine | None = None
        self._compiles = True

    def show(self, done: int, total: int) -> None:
        """Shows how many pictures are done."""
        if self._line is None:
            self._line = LiveLine(self._console, total, done, "compiling ...")
            return
        text = f"{done:,}/{total:,} pictures"
        if not self._compiles:
            text += f"  {self._line.rate(done):,.0f} pictures/s"
            text += f"  {self._line.time_left(done)} left" if done < total else ""
        self._line.show(done, text)
        if self._compiles:  # with the first batch
            self._compiles = False
            self._line.restart_clock(done)

    def close(self) -> None:
        if self._line:
            self._line.close()


def _print_csv(predictions: "Predictions") -> None:
    from bcjax.evaluation import prediction_formats

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(prediction_formats.csv_header(predictions))
    writer.writerows(prediction_formats.csv_rows(predictions))


def _table(predictions: "Predictions", caption: str) -> Table:
    table = Table(caption=caption, caption_justify="left")
    table.add_column("picture", overflow="fold")  # a name is never cut
    table.add_column("label")
    table.add_column("probability", justify="right")
    table.add_column("then")
    calibrated = predictions.sets is not None
    if calibrated:
        table.add_column("set")
        # Several networks have no features in common to know an outlier by.
        if predictions.entropy is None:
            table.add_column("outlier")
    if predictions.entropy is not None:
        table.add_column("mutual information", justify="right")
    for each in predictions:
        ranked = sorted(each.probabilities.items(), key=lambda item: -item[1])
        # The most probable class, where it is not the label, is among the others.
        others = ranked[0:3] if each.uncertain else ranked[1:3]
        calibration = [", ".join(each.set or ()) or "none"]
        calibration += ["yes" if each.outlier else ""] if each.entropy is None else []
        table.add_row(
            each.name,
            "uncertain" if each.uncertain else each.label,
            f"{ranked[0][1]:.1%}",
            ", ".join(f"{name} {value:.1%}" for name, value in others),
            *(calibration if calibrated else []),
            *([] if each.entropy is None else [f"{each.mutual_information:.4f}"]),
        )
    return table


def _caption(
    arguments: Arguments, calibration: "Calibration | None", prevalence: "Prevalence | None"
) -> str:
    """Returns the sentences below the table: what the probabilities are worth."""
    stated = f"{prevalence.sentence} " if prevalence else ""
    if calibration is None:
        given = [f"--workdir={arguments.workdir}"]
        if runs := getattr(arguments, "with"):
            given.append(f"--with={','.join(map(str, runs))}")
        if arguments.checkpoint != CHECKPOINT.default:
            given.append(f"--checkpoint={arguments.checkpoint}")
        return f"{stated}Not calibrated: bcjax calibrate {' '.join(given)} would do that."
    sets, abstention = calibration.conformal, calibration.abstention
    if prevalence and abstention.threshold is not None:
        promise = "How many answers that are not uncertain are wrong is not known at it"
    elif abstention.threshold is None:
        promise = f"Nothing is called uncertain, for that takes {abstention.needed:,} pictures"
    elif abstention.threshold == 1:
        promise = f"All is uncertain, for no confidence keeps errors to {abstention.error_rate:.1%}"
    else:
        promise = (
            f"Of what is not uncertain {abstention.error_rate:.1%} or less is wrong "
            f"({abstention.confidence:.0%} sure)"
        )
    if calibration.fitted and calibration.fitted.why_not:
        promise += f". {calibration.fitted.why_not.rstrip('.')}"
    return (
        f"{stated}Calibrated on {calibration.n:,} pictures ({calibration.split}), and true of "
        f"pictures like these: {sets.coverage:.0%} of the sets hold the true class. {promise}."
    )
