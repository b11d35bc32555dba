"""Train a network, or go on training it.

  bcjax train --config=configs/elu_cnn.py --workdir=runs/a --config.optim.lr=3e-4

The run is written to the workdir (config.json, checkpoints/, metrics.jsonl, tensorboard/, eval/).
The same command again goes on from the last checkpoint.
"""

from pathlib import Path

from rich.console import Console

from bcjax import config as configs
from bcjax.cli.flags import ALLOW_LEAKS, CONFIG, Arguments, Flag, read_config

FLAGS = (
    CONFIG,
    Flag(
        "workdir",
        "Where the run is written; default: config.workdir, or runs/<name of the config file>.",
        kind=Path,
    ),
    ALLOW_LEAKS,
)


def run(arguments: Arguments) -> int:
    config = read_config(arguments)
    name = Path(configs.split_variant(arguments.config)[0]).stem
    config.data.allow_leaks |= arguments.allow_leaks
    config.workdir = str(arguments.workdir or config.workdir or f"runs/{name}")
    import jax

    from bcjax import api
    from bcjax.cli import tables
    from bcjax.runtime.run_dir import RunDir

    outcome = api.train(config, progress=True)
    console = Console(quiet=jax.process_index() != 0)
    if outcome.evaluation:
        console.print(tables.evaluation(outcome.evaluation))
    if outcome.evaluation and config.eval.report:
        page = RunDir(config.workdir).report
        console.print(f"written to {page}", highlight=False, soft_wrap=True)
    return outcome.exit_status
