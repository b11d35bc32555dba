"""Write one page that shows a data set: counts, samples, colours, duplicates, outliers, a map.

  bcjax explore --data.source=PICTURES --out=explore.html
  bcjax explore --data.source=PICTURES --workdir=runs/a --out=explore.html

The page holds everything that it needs and can be sent as it is. PICTURES are shown as they are
found, contradictions and leaks included; with a config that has rules (config.data.drop,
config.data.group_by, ...), as they are trained on. With a run, the features of its network place
the pictures on the map, and the run's own pictures are shown unless others are named.
"""

from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

from bcjax import config as configs
from bcjax.cli.flags import CHECKPOINT, CONFIG, Arguments, Flag, read_config
from bcjax.runtime import jax_settings
from bcjax.runtime.errors import UserError
from bcjax.runtime.stages import Stages

FLAGS = (
    CONFIG,
    Flag("out", "The file to write.", "explore.html", Path),
    Flag("workdir", "A run, for the map.", kind=Path),
    CHECKPOINT,
    Flag(
        "data.source",
        "A class folder, .csv, .npz, prepared set, TFDS name or 'synthetic'; default: the "
        "config's, or the run's.",
        path=True,
    ),
)


@jax_settings.fixed()
def run(arguments: Arguments) -> None:
    (config, own), out = _config(arguments), arguments.out
    if out.is_dir():
        raise UserError(f"{out} is a folder: give the file to write, such as --out=explore.html.")
    from bcjax.reports.dataset import explore

    with Stages(Console(stderr=True), "listing the pictures") as told:
        written = explore(
            config,
            out,
            workdir=arguments.workdir,
            checkpoint=arguments.checkpoint,
            as_trained=own,
            told=told,
        )
    print(f"written to {out} ({written.html.stat().st_size / 1e6:.1f} MB)")


def _config(arguments: Arguments) -> tuple[ConfigDict, bool]:
    """The config given, the run's own or the default; and whether it is the run's own."""
    source = arguments.data_source
    own = not (arguments.config or arguments.overrides or source) and arguments.workdir is not None
    config = configs.load(arguments.workdir) if own else read_config(arguments, needed=False)
    config.data.source = source or config.data.source
    configs.check_source(config.data, "--data.source")
    return config, own
