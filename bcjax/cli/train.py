"""Train a network, or go on training it.

  bcjax train --config=configs/elu_cnn.py --workdir=runs/a --config.optim.lr=3e-4

The run is written to the workdir (config.json, checkpoints/, metrics.jsonl, tensorboard/, eval/).
The same command again goes on from the last checkpoint.
"""

from pathlib import Path

from absl import flags
from rich.console import Console

from bcjax.cli import flags as cli_flags
from bcjax.runtime.errors import UserError


def define(values: flags.FlagValues, argv: list[str]) -> None:
    cli_flags.define_config(values)
    flags.DEFINE_string(
        "workdir",
        None,
        "Where the run is written; default: config.workdir, or runs/<name of the config file>.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "allow-leaks",
        False,
        "Go on though pictures lie in two splits; the results will say so.",
        flag_values=values,
    )
    extend: flags.Flag = flags.Flag(
        _ExtendParser(),
        None,
        "extend",
        False,
        "Goes on to a longer config.train.length, even after the end: =stretch computes the "
        "schedule of the learning rate over the new length, =restart begins a new one over the "
        "added steps.",
    )
    extend.boolean = True  # the name alone is enough
    flags.DEFINE_flag(extend, values)
    flags.DEFINE_bool(
        "change",
        False,
        "Goes on with another learning rate, batch size, ...: the settings marked Δ in the table.",
        flag_values=values,
    )


class _ExtendParser(flags.ArgumentParser):
    """Reads `--extend`, `--extend=stretch` and `--extend=restart`."""

    def parse(self, argument: str | bool) -> str | bool:
        if argument not in (True, False, "true", "false", "stretch", "restart"):
            raise ValueError(f"choose stretch or restart, not {argument!r}")
        return {"true": True, "false": False}.get(str(argument).lower(), argument)


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax train takes flags only, not {positional[0]!r}.")
    config = cli_flags.read_config(values)
    name = Path(cli_flags.config_file(values)).stem
    config.data.allow_leaks |= values["allow-leaks"].value
    config.workdir = values.workdir or config.workdir or f"runs/{name}"
    # Here, because JAX takes a second to import, and a mistake in the flags should show first.
    import jax

    from bcjax import api
    from bcjax.cli import tables
    from bcjax.runtime.run_dir import RunDir

    outcome = api.train(
        config, progress=True, extend=values.extend, change=bool(values["change"].value)
    )
    console = Console(quiet=jax.process_index() != 0)
    if outcome.evaluation:
        console.print(tables.evaluation(outcome.evaluation))
    if outcome.evaluation and outcome.evaluation.members:
        console.print(tables.members(outcome.evaluation.members))
    if outcome.evaluation and config.eval.report:
        page = RunDir(config.workdir).report
        console.print(f"written to {page}", highlight=False, soft_wrap=True)
    return outcome.exit_status
