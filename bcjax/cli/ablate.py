"""Train without each of some named parts of a config, and with each of them alone.

  bcjax ablate --config=configs/an2dl.py --switches=switches.yaml --out=runs/ablation
  bcjax ablate ... --mode=all-but-one --seeds=3

The switches are a YAML file of named parts of the config, each with the changes that leave it out.
An entry of a list is removed by its name, so several switches may share a list. A part that the
config does not have yet is added by "with":

  decay: {optim.weight_decay: 0}
  mixing: {augment.ops: {remove: one_of}}
  turns: {augment.ops: {remove: [flip, turn]}}
  warmup:
    with: {optim.warmup: 2 epochs}
    without: {optim.warmup: 0 steps}

The runs are OUT/all, OUT/none, OUT/all-but-decay, ..., OUT/only-decay, ...: ordinary runs, which
bcjax evaluate, report and compare (with --split=val) take. They are judged by
config.checkpoint.best on the split that is watched during training (val); the test split is not
used. Differences to `all` are paired, picture by picture. The same command again goes on with what
was interrupted. It writes OUT/ablation.json.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console
from rich.table import Table

from bcjax.cli import flags as cli_flags
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.tune.ablation import AblatedRun, AblationResult


def define(values: flags.FlagValues, argv: list[str]) -> None:
    cli_flags.define_config(values)
    cli_flags.define_path(values, "switches", None, "The YAML file.")
    cli_flags.define_path(values, "out", None, "The folder of the runs.")
    flags.DEFINE_list(
        "mode", ["all-but-one", "only-one"], "all-but-one, only-one or both.", flag_values=values
    )
    flags.DEFINE_integer(
        "seeds", 1, "Runs of each kind, with seeds from config.seed on.", 1, flag_values=values
    )


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax ablate takes flags only, not {positional[0]!r}.")
    config = cli_flags.read_config(values)
    if not values.switches:
        raise UserError("Give the parts to switch, such as --switches=switches.yaml.")
    if not values.out:
        raise UserError("Give a folder for the runs, such as --out=runs/ablation.")
    # Imported here, because JAX takes a second: a mistake in the flags should show before that.
    from bcjax.runtime import compilation
    from bcjax.training import loggers
    from bcjax.tune import ablation as ablations
    from bcjax.tune.trials import judged_on_watched

    if wrong := [mode for mode in values.mode if mode not in ablations.MODES]:
        raise UserError(f"--mode={wrong[0]}: choose of {', '.join(ablations.MODES)}.")
    loggers.check(config.track)
    compilation.use_cache()
    console = Console()
    ablation = ablations.Ablation(
        judged_on_watched(config, config.checkpoint.best),
        ablations.read_switches(Path(values.switches), config),
        values.mode,
        values.seeds,
        Path(values.out),
    )
    faults, status = ablations.work(ablation, console)
    if status:
        return status
    result = ablations.measure(ablation, faults)
    path = result.write(ablation.out)
    title = f"{result.metric} on {result.n:,} pictures of {result.split}, compared with `all`:"
    console.print(title, highlight=False)
    console.print(_table(result), highlight=False)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0


def _table(result: "AblationResult") -> Table:
    table = Table()
    table.add_column("run")
    for column in (result.metric, "over seeds", "difference", "95 % interval", "p"):
        table.add_column(column, justify="right")
    for run in result.runs:
        if run.error:
            table.add_row(run.name, "failed")
            continue
        deviation = "-" if run.deviation is None else f"± {run.deviation:.4f}"
        table.add_row(run.name, f"{run.mean:.4f}", deviation, *_difference(run))
    return table


def _difference(run: "AblatedRun") -> tuple[str, str, str]:
    """Returns the difference to the reference, its interval and its p, as text."""
    difference = run.difference
    if difference is None or difference["value"] is None:
        return "", "", ""
    value = f"{difference['value']:+.4f}"
    if difference["interval"] is None:
        return value, "-", "-"
    interval = f"{difference['low']:+.4f} - {difference['high']:+.4f}"
    return value, interval, f"{difference['p']:.3f}"
