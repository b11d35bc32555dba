"""Train without each of some named parts of a config, and with each of them alone.

  bcjax ablate --config=an2dl --switches=switches.yaml --out=runs/ablation
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

A Python file has the same as a dict `switches`, or as a function switches(config) that returns one:

  bcjax ablate --config=published/pbc3200 --switches=published/pbc3200_ablations --out=runs/ablation

The runs are OUT/all, OUT/none, OUT/all-but-decay, ..., OUT/only-decay, ...: ordinary runs, which
bcjax evaluate, report and compare (with --split=val) take. They are judged by
config.checkpoint.best on the split that is watched during training (val); the test split is not
used. With one seed the interval of a difference to `all` says how much other pictures would change,
and nothing of what another seed would: there is no p. With several seeds interval and p are over
seeds and pictures; p is not corrected for the number of parts. The same command again goes on with
what was interrupted. It writes OUT/ablation.json.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bcjax.cli.flags import CONFIG, Arguments, Flag, read_config
from bcjax.runtime import jax_settings

if TYPE_CHECKING:
    from bcjax.tune.ablation import AblatedRun, AblationResult

FLAGS = (
    CONFIG,
    Flag(
        "switches",
        "The .yaml or .py file, or the name of one in configs/.",
        kind=Path,
        needed="Give the parts to switch, such as --switches=switches.yaml.",
    ),
    Flag(
        "out",
        "The folder of the runs.",
        kind=Path,
        needed="Give a folder for the runs, such as --out=runs/ablation.",
    ),
    Flag("mode", "all-but-one, only-one or both.", ["all-but-one", "only-one"], list),
    Flag("seeds", "Runs of each kind, with seeds from config.seed on.", 1, int, least=1),
)


@jax_settings.fixed()
def run(arguments: Arguments) -> int:
    config = read_config(arguments)
    from bcjax.cli import tables
    from bcjax.runtime import compilation
    from bcjax.tune import ablation as ablations

    compilation.use_cache()
    console = Console()
    ablation = ablations.Ablation.of(
        config, arguments.switches, arguments.out, modes=arguments.mode, seeds=arguments.seeds
    )
    faults, status = ablations.work(ablation, console)
    if status:
        return status
    found = ablations.measure(ablation, faults)
    path = found.write(ablation.out)
    for caution in tables.cautions(found.cautions):
        console.print(caution)
    print(f"{found.metric} on {found.n:,} pictures of {found.split}, compared with `all`:")
    console.print(_table(found), highlight=False)
    print(f"written to {path}")
    return 0


def _table(result: "AblationResult") -> Table:
    table = Table()
    table.add_column("run")
    columns = [result.metric, "difference", "95 % interval"]
    if result.seeds > 1:
        columns = [result.metric, "over seeds", "difference", "95 % interval", "p"]
    for column in columns:
        table.add_column(column, justify="right")
    for run in result.runs:
        if run.error:
            table.add_row(run.name, "failed")
            continue
        mean, (difference, interval, p) = f"{run.mean:.4f}", _difference(run)
        if result.seeds > 1:
            table.add_row(run.name, mean, f"± {run.deviation:.4f}", difference, interval, p)
        else:
            table.add_row(run.name, mean, difference, interval)
    return table


def _difference(run: "AblatedRun") -> tuple[str, str, str]:
    """Returns the difference to the reference, its interval and its p, as text."""
    from bcjax.reports.pages.formatting import p_value

    difference = run.difference
    if difference is None or difference["value"] is None:
        return "", "", ""
    value = f"{difference['value']:+.4f}"
    if difference["interval"] is None:
        return value, "-", "-"
    interval = f"{difference['low']:+.4f} - {difference['high']:+.4f}"
    return value, interval, p_value(difference["p"])
