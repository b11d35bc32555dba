"""Train a network, or go on training it.

  bcjax train --config=elu_cnn --config.data.source=PICTURES --workdir=runs/a --config.optim.lr=3e-4

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
    Flag(
        "extend",
        "Goes on to a longer config.train.length, even after the end: stretch computes the "
        "schedule of the learning rate over the new length, restart begins a new one over the "
        "added steps; the flag alone is enough where the rate is constant.",
        kind=("stretch", "restart", "true"),
        alone=True,
    ),
    Flag(
        "change",
        "Goes on with another learning rate, batch size, ...: the settings marked Δ in the table.",
        False,
        bool,
    ),
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

    extend = {None: False, "true": True}.get(arguments.extend, arguments.extend)
    outcome = api.train(config, progress=True, extend=extend, change=arguments.change)
    console = Console(quiet=jax.process_index() != 0)
    if outcome.evaluation:
        console.print(tables.evaluation(outcome.evaluation))
    if outcome.evaluation and config.eval.report:
        page = RunDir(config.workdir).report
        console.print(f"written to {page}", highlight=False, soft_wrap=True)
    return outcome.exit_status
