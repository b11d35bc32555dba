"""Write pictures as a sharded TFDS/ArrayRecord set: measured, cleaned, grouped, split, checked.

  bcjax prepare --data.source=PICTURES --out=data/cells
  bcjax prepare --data.source=PICTURES --out=data/cells --config.data.drop=conflicts
  bcjax prepare --config=configs/elu_cnn.py --config.data.source=PICTURES --out=data/cells

What was found in the pictures and done to them is in its datasheet.html. A prepared set trains with
--config.data.source=data/cells, and tfds.builder_from_directory reads it. Unprepared sources train
as well: they are prepared into a cache on first use.
"""

from pathlib import Path

from absl import flags
from rich.console import Console

from bcjax.cli import flags as cli_flags
from bcjax.runtime.errors import UserError


def define(values: flags.FlagValues, argv: list[str]) -> None:
    cli_flags.define_config(values)
    cli_flags.define_path(values, "out", None, "The folder to make.")
    cli_flags.define_path(
        values,
        "data.source",
        None,
        "A class folder, .csv, .npz, TFDS name or 'synthetic'; default: config.data.source.",
    )
    flags.DEFINE_bool(
        "canary",
        True,
        "Score a model that sees only colours on the split, to tell whether copies lie on both "
        "sides.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "allow-leaks",
        False,
        "Go on though pictures lie in two splits; the datasheet and the results will say so.",
        flag_values=values,
    )


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax prepare takes flags only, not {positional[0]!r}.")
    if not values.out:
        raise UserError("Give the folder to make, such as --out=data/cells.")
    source = values["data.source"].value
    if values.config is None and not cli_flags.config_overrides(values) and not source:
        raise UserError("Give the pictures, such as --data.source=PICTURES.")
    config = cli_flags.read_config(values, needed=False)
    config.data.source = source or config.data.source
    config.data.canary = values.canary
    config.data.allow_leaks |= values["allow-leaks"].value
    # Imported here, because TFDS takes a second: a mistake in the flags should show before that.
    from bcjax.cli import tables
    from bcjax.data.preparation import prepare

    prepared = prepare(config.data, Path(values.out))
    console = Console()
    for note in prepared.notes:
        console.print(note, highlight=False)
    console.print(tables.counts(prepared.counts, prepared.classes))
    console.print(f"written to {prepared.path}", highlight=False, soft_wrap=True)
    return 0
