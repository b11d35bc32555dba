"""Write one page that shows a data set: counts, samples, colours, duplicates, outliers, a map.

  bcjax explore --data.source=PICTURES --out=explore.html
  bcjax explore --data.source=PICTURES --workdir=runs/a --out=explore.html

The page holds everything that it needs and can be sent as it is. PICTURES are shown as they are
found, contradictions and leaks included; with a config that has rules (config.data.drop,
config.data.group_by, ...), as they are trained on. With a run, the features of its network place
the pictures on the map, and the run's own pictures are shown unless others are named.
"""

from pathlib import Path

from absl import flags
from ml_collections import ConfigDict
from rich.console import Console

from bcjax import config as configs
from bcjax.cli import flags as cli_flags
from bcjax.runtime.errors import UserError


def define(values: flags.FlagValues, argv: list[str]) -> None:
    cli_flags.define_config(values)
    cli_flags.define_path(values, "out", "explore.html", "The file to write.")
    cli_flags.define_path(values, "workdir", None, "A run, for the map.")
    flags.DEFINE_string("checkpoint", "best", "best, latest or a step.", flag_values=values)
    cli_flags.define_path(
        values,
        "data.source",
        None,
        "A class folder, .csv, .npz, prepared set, TFDS name or 'synthetic'; default: the "
        "config's, or the run's.",
    )


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax explore takes flags only, not {positional[0]!r}.")
    (config, own), out = _config(values), Path(values.out)
    if out.is_dir():
        raise UserError(f"{out} is a folder: give the file to write, such as --out=explore.html.")
    # Here, because TFDS and matplotlib take seconds to import, and a mistake in the flags should
    # show before that.
    from bcjax.reports.dataset import explore

    written = explore(
        config, out, workdir=values.workdir, checkpoint=values.checkpoint, as_trained=own
    )
    size = written.html.stat().st_size / 1e6
    Console().print(f"written to {out} ({size:.1f} MB)", highlight=False, soft_wrap=True)
    return 0


def _config(values: flags.FlagValues) -> tuple[ConfigDict, bool]:
    """The config given, the run's own or the default; and whether it is the run's own."""
    source = values["data.source"].value
    own = False
    if values.config is not None or source:
        config = cli_flags.read_config(values, needed=False)
    elif values.workdir:
        config, own = configs.load(Path(values.workdir)), True
    else:
        raise UserError("Give the pictures, such as --data.source=PICTURES.")
    config.data.source = source or config.data.source
    return config, own
