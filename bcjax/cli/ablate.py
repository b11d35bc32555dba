"""Train without each of some named parts of a config, and with each alone.

  bcjax ablate --config=configs/an2dl.py --switches=switches.yaml --out=runs/ablation
  bcjax ablate ... --mode=all-but-one --seeds=3

The switches are a YAML file with the parts of the config, each with what is changed where it is
left out. An entry of a list is removed, by its name; so several switches may share a list. Where
the config lacks a part, "with" adds it:

  decay: {optim.weight_decay: 0}
  mixing: {augment.ops: {remove: one_of}}
  turns: {augment.ops: {remove: [flip, turn]}}
  warmup:
    with: {optim.warmup: 2 epochs}
    without: {optim.warmup: 0 steps}

Runs OUT/all, OUT/none, OUT/all-but-decay, ..., OUT/only-decay, ...: ordinary runs, which evaluate,
report and compare (with --split=val) take. They are judged by config.checkpoint.best on the split
that is watched during training (val); the test split is not looked at. Differences to `all` are
paired, picture by picture. The same command again goes on with what was interrupted. Writes
OUT/ablation.json.
"""

from typing import Any

from absl import flags
from rich.console import Console
from rich.table import Table

from bcjax.cli import config_flag
from bcjax.runtime import files
from bcjax.runtime.errors import UserError


def define(values: flags.FlagValues, argv: list[str]) -> None:
    config_flag.define(values)
    flags.DEFINE_string("switches", None, "The YAML file.", flag_values=values)
    flags.DEFINE_string("out", None, "The folder of the runs.", flag_values=values)
    flags.DEFINE_list(
        "mode", ["all-but-one", "only-one"], "all-but-one, only-one or both.", flag_values=values
    )
    flags.DEFINE_integer(
        "seeds", 1, "Runs of each kind, with seeds from config.seed on.", 1, flag_values=values
    )


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax ablate takes flags only, not {positional[0]!r}.")
    config = config_flag.read(values)
    if not values.switches:
        raise UserError("Give the parts to switch, such as --switches=switches.yaml.")
    if not values.out:
        raise UserError("Give a folder for the runs, such as --out=runs/ablation.")
    # Here, for JAX takes a second to import, and a mistake in the flags should show before that.
    from bcjax.runtime import compilation
    from bcjax.training import loggers
    from bcjax.tune import ablation as ablations
    from bcjax.tune import switches
    from bcjax.tune.trial import judged_on_watched

    if wrong := [mode for mode in values.mode if mode not in switches.MODES]:
        raise UserError(f"--mode={wrong[0]}: choose of {', '.join(switches.MODES)}.")
    loggers.check(config.track)
    compilation.use_cache()
    console = Console()
    ablation = ablations.Ablation(
        judged_on_watched(config, config.checkpoint.best),
        switches.read(files.user_path(values.switches), config),
        values.mode,
        values.seeds,
        files.user_path(values.out),
    )
    faults, status = ablations.work(ablation, console)
    if status:
        return status
    measured = ablations.measure(ablation, faults)
    path = ablations.write(measured, ablation.out)
    said = f"on {measured['n']:,} pictures of {measured['split']}, beside `all`:"
    console.print(f"{measured['metric']} {said}", highlight=False)
    console.print(_table(measured), highlight=False)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0


def _table(measured: dict[str, Any]) -> Table:
    table = Table()
    table.add_column("run")
    for column in (measured["metric"], "over seeds", "difference", "95 % interval", "p"):
        table.add_column(column, justify="right")
    for row in measured["runs"]:
        if row["error"]:
            table.add_row(row["name"], "failed")
            continue
        deviation = "-" if row["deviation"] is None else f"± {row['deviation']:.4f}"
        table.add_row(row["name"], f"{row['mean']:.4f}", deviation, *_difference(row))
    return table


def _difference(row: dict[str, Any]) -> tuple[str, str, str]:
    found = row["difference"]
    if found is None or found["value"] is None:
        return "", "", ""
    value = f"{found['value']:+.4f}"
    if found["interval"] is None:
        return value, "-", "-"
    return value, f"{found['low']:+.4f} - {found['high']:+.4f}", f"{found['p']:.3f}"
