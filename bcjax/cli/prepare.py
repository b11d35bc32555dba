"""Write pictures as a sharded TFDS/ArrayRecord set: measured, cleaned, grouped, split, checked.

  bcjax prepare --data.source=PICTURES --out=data/cells
  bcjax prepare --data.source=PICTURES --out=data/cells --config.data.drop=conflicts
  bcjax prepare --config=elu_cnn --config.data.source=PICTURES --out=data/cells

What was found in the pictures and done to them is in its datasheet.html. A prepared set trains with
--config.data.source=data/cells, and tfds.builder_from_directory reads it. Unprepared sources train
as well: they are prepared into a cache on first use.
"""

from pathlib import Path

from rich.console import Console

from bcjax import config as configs
from bcjax.cli.flags import ALLOW_LEAKS, CONFIG, Arguments, Flag, read_config

FLAGS = (
    CONFIG,
    Flag(
        "out",
        "The folder to make.",
        kind=Path,
        needed="Give the folder to make, such as --out=data/cells.",
    ),
    Flag(
        "data.source",
        "A class folder, .csv, .npz, TFDS name or 'synthetic'; default: config.data.source.",
        path=True,
    ),
    Flag(
        "canary",
        "Score a model that sees only colours on the split, to tell whether copies lie on both "
        "sides.",
        True,
        bool,
    ),
    ALLOW_LEAKS,
)


def run(arguments: Arguments) -> None:
    config = read_config(arguments, needed=False)
    config.data.source = arguments.data_source or config.data.source
    configs.check_source(config.data, "--data.source")
    config.data.canary = arguments.canary
    config.data.allow_leaks |= arguments.allow_leaks
    from bcjax.cli import tables
    from bcjax.data.preparation import prepare

    prepared = prepare(config.data, arguments.out)
    for note in prepared.notes:
        print(note)
    Console().print(tables.counts(prepared.counts, prepared.classes))
    print(f"written to {prepared.path}")
