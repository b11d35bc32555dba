"""Label pictures, or all pictures in folders, with a trained network.

  bcjax predict --workdir=runs/a cell.jpg more_cells/
  bcjax predict --workdir=runs/a --out=night.parquet scans/ "old/*/cells" slides.zip list.csv
  bcjax predict --workdir=runs/a --json cell.jpg
  bcjax predict --workdir=runs/a --with=runs/b,runs/c cell.jpg
  bcjax predict --workdir=runs/a --prevalence=neutrophil=0.6,lymphocyte=0.4 cell.jpg

Prints a table: of each picture, or, where there are more than 50 on a terminal or 1,000 elsewhere,
of how many got each label. --json prints a list of objects, --csv comma-separated lines with a
header, both of all pictures as they come. After `bcjax calibrate`, probabilities are calibrated,
and pictures that are uncertain or not cells are marked.

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
import itertools
import json
import sys
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bcjax.cli import flags
from bcjax.cli.flags import BATCH_SIZE, CHECKPOINT, JSON, PREVALENCE, Arguments, Flag
from bcjax.runtime.errors import UserError
from bcjax.runtime.live_line import LiveLine
from bcjax.runtime.run_dir import RunDir

if TYPE_CHECKING:
    from bcjax.evaluation.picture_stream import Pictures
    from bcjax.evaluation.predictions import Predictions, Unreadable
    from bcjax.evaluation.predictor import Predictor
    from bcjax.evaluation.trained_ensemble import TrainedEnsemble

_SCREENFUL = 50  # pictures of which a terminal shows each
_MANY = 1000  # pictures of which anything else, such as a log, is told each

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
    from bcjax.evaluation.picture_stream import open_pictures

    if arguments.out:
        from bcjax.evaluation import prediction_file

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
    total = sum(1 for _ in pictures.found())
    stdout, bad = Console(), list["Unreadable"]()
    answers = _followed(
        network.stream(pictures, arguments.batch_size, prevalence=arguments.prevalence),
        total,
        bad,
        # A line that is drawn anew would be mixed with rows on the same terminal.
        quiet=stdout.is_terminal and (arguments.json or arguments.csv or total <= _SCREENFUL),
    )
    with contextlib.closing(answers):
        if arguments.json:
            _print_json(answers)
        elif arguments.csv:
            _print_csv(answers)
        else:
            _print_table(answers, total, stdout, arguments, network)
    if bad:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in bad[:_SCREENFUL])
        more = f"; and {len(bad) - _SCREENFUL:,} more" if len(bad) > _SCREENFUL else ""
        raise UserError(f"{len(bad)} of {total} pictures cannot be read ({reasons}{more}).")


def _followed(
    answers: "Generator[Predictions, None, None]",
    total: int,
    bad: "list[Unreadable]",
    *,
    quiet: bool,
) -> "Generator[Predictions, None, None]":
    """Yields predictions as they come, lists what is unreadable, and says how far they are."""
    line, done = _PicturesLine(Console(stderr=True)), 0
    with contextlib.closing(answers), contextlib.closing(line):
        if not quiet:
            line.show(0, total)
        for each in answers:
            bad += each.unreadable
            done += len(each) + len(each.unreadable)
            if not quiet and done < total:  # that all are done is seen by what is printed
                line.show(done, total)
            yield each


def _print_table(
    answers: "Iterable[Predictions]",
    total: int,
    console: Console,
    arguments: Arguments,
    network: "Predictor | TrainedEnsemble",
) -> None:
    """Prints a row for each picture, or of many how often there is each answer."""
    from bcjax.cli import predictions as tables
    from bcjax.evaluation.predictions import joined

    first = next(iter(answers))  # there is one: a place without pictures is refused
    parts = itertools.chain([first], answers)
    caption = tables.caption(arguments, network.calibration, first.prevalence)
    if total <= (_SCREENFUL if console.is_terminal else _MANY):
        console.print(tables.table(joined(list(parts)), caption))
        return
    console.print(tables.summary(parts), caption, highlight=False)
    print("--out=FILE writes the answer to each picture; --csv and --json print it.")


def _print_json(answers: "Iterable[Predictions]") -> None:
    """Prints the list that `json.dumps` would make of all, row by row as they come."""
    before = "["
    for part in answers:
        for each in part:
            row = json.dumps(each.to_dict(), indent=2).replace("\n", "\n  ")
            print(f"{before}\n  {row}", end="")
            before = ","
    print("[]" if before == "[" else "\n]")


def _print_csv(answers: "Iterable[Predictions]") -> None:
    from bcjax.evaluation import prediction_formats

    writer = csv.writer(sys.stdout, lineterminator="\n")
    for number, part in enumerate(answers):
        if number == 0:
            writer.writerow(prediction_formats.csv_header(part))
        writer.writerows(prediction_formats.csv_rows(part))


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
