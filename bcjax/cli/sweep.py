"""Search for better values of any config keys, trial after trial (Optuna).

  bcjax sweep --config=elu_cnn --config.data.source=PICTURES --space=space.yaml --out=runs/sweep
  bcjax sweep ... --objective=accuracy,latency,size
  bcjax sweep ... --objective=accuracy,latency,size,ram --target="Cortex-M7 216MHz"
  bcjax sweep ... --pruner=hyperband --processes=2
  bcjax sweep ... --storage=postgresql://USER@HOST/DATABASE

The space is a YAML file with a line for each key, a range or a list of values:

  optim.lr: {low: 1e-4, high: 1e-2, log: true}
  train.batch_size: [32, 64]
  model.name: [elu_cnn, resnet18]

A line that is no key names settings, each of which changes several keys:

  network:
    small: {model.name: mobilenet_v1_025, data.image_size: 96}
    large: {model.name: mobilenet_v2_100, data.image_size: 160}

The space may also be a Python file with a function space(trial) that returns
{"optim.lr": trial.suggest_float(...)}. With --sampler=grid all combinations of the listed
values are tried, each once:

  bcjax sweep ... --space=published/edge_impulse_space --sampler=grid

Each trial is an ordinary run, such as OUT/trial-0007, for bcjax evaluate, report and compare (with
--split=val). It is judged on the split that is watched during training (val); the test split
is not used: evaluate the trial that you choose on it. The same command again goes on with what was
interrupted and does the remaining trials. Run elsewhere, it works on the same study: on hosts that
share OUT, or that share a database (--storage) and have a folder OUT of the same name each. It
writes OUT/study.json.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bcjax.cli.flags import CONFIG, Arguments, Flag, read_config
from bcjax.runtime import jax_settings
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.tune.sweep import SweepResult

_SHOWN = 10  # trials in the table
_POLL_SECONDS = 0.1
_RETRY = "The same command with --retry tries what failed again; if all failed, also a mended one."

FLAGS = (
    CONFIG,
    Flag(
        "space",
        "What is tried: a .yaml or .py file, or the name of one in configs/.",
        kind=Path,
        needed="Give what is to be tried, such as --space=space.yaml.",
    ),
    Flag(
        "trials",
        "How many, in all. Default: 20, or all points of the grid.",
        kind=int,
        least=1,
    ),
    Flag(
        "out",
        "The folder of the study.",
        kind=Path,
        needed="Give a folder for the trials, such as --out=runs/sweep.",
    ),
    Flag(
        "objective",
        "Metrics on val, and latency (s to answer one picture, measured here), size (bytes of the "
        "parameters) or ram (bytes of a layer's input and output, as int8); several by comma. "
        "Default: config.checkpoint.best.",
        "",
    ),
    Flag(
        "target",
        "The device that latency, size and ram are estimated for, with int8 values: "
        '"Cortex-M7 216MHz", "Pixel 3", "Pixel 4" or "this machine". Default: the network as '
        "it is, here.",
        "",
    ),
    Flag("sampler", "How values are chosen.", "tpe", ("tpe", "random", "grid")),
    Flag(
        "pruner",
        "Which trials end early, by their evaluations so far.",
        "none",
        ("none", "median", "halving", "hyperband"),
    ),
    Flag("storage", "A database's URL, for several hosts; default: SQLite in OUT.", ""),
    Flag(
        "retry",
        "Try failed trials again; where all of them failed, with what is asked for now.",
        False,
        bool,
    ),
    Flag(
        "processes",
        "Trials at a time on this machine. To give each a GPU of its own, start the command once "
        "for each CUDA_VISIBLE_DEVICES instead.",
        1,
        int,
        least=1,
    ),
    Flag("summary", "End with the table and study.json.", True, bool),
)


@jax_settings.fixed()
def run(arguments: Arguments) -> int:
    config = read_config(arguments)
    from bcjax.cli import tables
    from bcjax.runtime import compilation, extras

    extras.check("optuna", "bcjax sweep")
    from bcjax.tune.sweep import Sweep, result, work

    compilation.use_cache()
    sweep = Sweep.of(
        config,
        arguments.space,
        objective=arguments.objective,
        trials=arguments.trials,
        sampler=arguments.sampler,
        pruner=arguments.pruner,
        target=arguments.target,
    )
    study = sweep.open(arguments.out, arguments.storage, retry=arguments.retry)
    console = Console()
    if arguments.processes > 1:
        alone = ["--processes=1", "--nosummary", "--noretry"]
        status = run_processes(arguments.processes, [*sys.argv[1:], *alone])
    else:
        status = work(sweep, study, console)
    if not arguments.summary:
        return status
    found = result(sweep, study)
    path = found.write(study.out)
    failures = found.failures()
    if found.ranked():
        for caution in tables.cautions(found.cautions):
            console.print(caution)
        print(_title(found))
        console.print(_table(found), highlight=False)
        if found.settings:
            console.print(_settings(found), highlight=False)
        print(*failures, *([_RETRY] if failures else []), f"written to {path}", sep="\n")
    elif status == 0:
        raise UserError(
            " ".join([*failures, _RETRY] if failures else ["No trial came to its end."])
        )
    return status


def _title(found: "SweepResult") -> str:
    states = [trial.state for trial in found.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    shown = "the best" if len(found.objectives) == 1 else "the Pareto set"
    return f"{counts}; {shown}, with metrics on {found.split}:"


def _table(found: "SweepResult") -> Table:
    """Returns the best trials; with several objectives those of the Pareto set."""
    from bcjax.tune.sweep import short

    ranked = found.ranked()
    params = list(dict.fromkeys(name for trial in ranked for name in trial.params))
    table = Table()
    table.add_column("trial")
    for name in (*(objective.name for objective in found.objectives), *params):
        table.add_column(name, justify="right")
    for trial in ranked[:_SHOWN]:
        row = [*(trial.values or ()), *(trial.params.get(name, "") for name in params)]
        table.add_row(trial.workdir, *map(short, row))
    return table


def _settings(found: "SweepResult") -> Table:
    """Returns the settings of which several seeds were tried, by the mean over these."""
    from bcjax.reports.pages.formatting import interval, number
    from bcjax.tune.sweep import short

    params = list(found.settings[0].params)
    table = Table(title="over the seeds that were tried", title_justify="left")
    for name in (found.objectives[0].name, "deviation", "95 % interval", "seeds", *params):
        table.add_column(name, justify="right")
    for setting in found.settings[:_SHOWN]:
        metric = setting.metric
        row = [number(metric.mean), number(metric.deviation), interval(metric), str(metric.n)]
        table.add_row(*row, *(short(setting.params.get(name, "")) for name in params))
    return table


def run_processes(count: int, arguments: Sequence[str]) -> int:
    """Runs `bcjax ARGUMENTS` in several processes and waits for all of them.

    A signal to this process is passed on once: each of them then saves and stops.

    Returns:
      The signal's exit status, else the first that is not 0, else 0.
    """
    from bcjax.runtime import signals

    # On a GPU the first process would take nearly all of its memory.
    share = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / count:.3f}"} | os.environ
    with signals.Interrupts() as interrupts:
        command = [sys.executable, "-m", "bcjax.main", *arguments]
        # In sessions of their own: otherwise Ctrl-C would reach them twice.
        started = [
            subprocess.Popen(command, env=share, start_new_session=True) for _ in range(count)
        ]
        passed_on = False
        while any(process.poll() is None for process in started):
            if interrupts.received and not passed_on:
                for process in started:
                    process.send_signal(interrupts.received)
                passed_on = True
            time.sleep(_POLL_SECONDS)
    statuses = [process.returncode for process in started]
    return next((status for status in statuses if status), 0)
