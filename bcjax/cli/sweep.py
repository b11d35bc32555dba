"""Search for better values of any config keys, trial after trial (Optuna).

  bcjax sweep --config=configs/elu_cnn.py --space=space.yaml --trials=8 --out=runs/sweep
  bcjax sweep ... --objective=accuracy,latency,size
  bcjax sweep ... --pruner=hyperband --processes=2
  bcjax sweep ... --storage=postgresql://USER@HOST/DATABASE

The space is a YAML file with a line for each key, a range or a list of values:

  optim.lr: {low: 1e-4, high: 1e-2, log: true}
  train.batch_size: [32, 64]
  model.name: [elu_cnn, resnet18]

or a Python file with a function space(trial) that returns {"optim.lr": trial.suggest_float(...)}.

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

from absl import flags
from rich.console import Console
from rich.table import Table

from bcjax.cli import flags as cli_flags
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.tune.study import Study
    from bcjax.tune.sweep import Sweep

_SHOWN = 10  # trials in the table
_POLL_SECONDS = 0.1


def define(values: flags.FlagValues, argv: list[str]) -> None:
    cli_flags.define_config(values)
    cli_flags.define_path(values, "space", None, "What is tried: a .yaml or .py file.")
    flags.DEFINE_integer("trials", 20, "How many, in all.", 1, flag_values=values)
    cli_flags.define_path(values, "out", None, "The folder of the study.")
    flags.DEFINE_string(
        "objective", "",
        "Metrics on val, and latency (s to answer one picture, measured here) or size (bytes of "
        "the parameters); several by comma. Default: config.checkpoint.best.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_enum("sampler", "tpe", ("tpe", "random"), "How values are chosen.",
                      flag_values=values)  # fmt: skip
    flags.DEFINE_enum(
        "pruner", "none", ("none", "median", "halving", "hyperband"),
        "Which trials end early, by their evaluations so far.", flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "storage", "", "A database's URL, for several hosts; default: SQLite in OUT.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "processes", 1,
        "Trials at a time on this machine. To give each a GPU of its own, start the command once "
        "for each CUDA_VISIBLE_DEVICES instead.",
        1, flag_values=values,
    )  # fmt: skip
    flags.DEFINE_boolean("summary", True, "End with the table and study.json.", flag_values=values)


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax sweep takes flags only, not {positional[0]!r}.")
    config = cli_flags.read_config(values)
    if not values.space:
        raise UserError("Give what is to be tried, such as --space=space.yaml.")
    if not values.out:
        raise UserError("Give a folder for the trials, such as --out=runs/sweep.")
    # Imported here, because JAX takes a second: a mistake in the flags should show before that.
    from bcjax.runtime import compilation, extras

    extras.check("optuna", "bcjax sweep")
    from bcjax.tune import objectives
    from bcjax.tune.space import Space
    from bcjax.tune.study import ranked
    from bcjax.tune.sweep import Sweep, work, write
    from bcjax.tune.trials import judged_on_watched

    compilation.use_cache()
    console = Console()
    names = objectives.parse(values.objective, config)
    metric = next((name for name in names if name in objectives.METRICS), config.checkpoint.best)
    sweep = Sweep(
        judged_on_watched(config, metric),
        Space(Path(values.space)),
        names,
        values.trials,
        values.sampler,
        values.pruner,
    )
    study = sweep.open(Path(values.out), values.storage)
    if values.processes > 1:
        again = [*sys.argv[1:], "--processes=1", "--nosummary"]
        status = run_processes(values.processes, again)
    else:
        status = work(sweep, study, console)
    if values.summary:
        path = write(sweep, study)
        console.print(_title(sweep, study), highlight=False, soft_wrap=True)
        console.print(_table(sweep, study), highlight=False)
        console.print(f"written to {path}", highlight=False, soft_wrap=True)
    if status == 0 and not ranked(sweep.objectives, study) and values.summary:
        raise UserError(_why_none(study))
    return status


def _title(sweep: "Sweep", study: "Study") -> str:
    states = [trial.state.name.lower() for trial in study.trials()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    shown = "the best" if len(sweep.objectives) == 1 else "the Pareto set"
    return f"{counts}; {shown}, with metrics on {sweep.config.eval.split}:"


def _table(sweep: "Sweep", study: "Study") -> Table:
    """Returns the best trials; with several objectives those of the Pareto set."""
    from bcjax.tune.study import pareto_set, ranked
    from bcjax.tune.sweep import short

    found = ranked(sweep.objectives, study)
    if len(sweep.objectives) > 1:
        front = pareto_set(study)
        found = [trial for trial in found if trial.number in front]
    params = list(dict.fromkeys(name for trial in found for name in trial.params))
    table = Table()
    table.add_column("trial")
    for name in (*sweep.objectives, *params):
        table.add_column(name, justify="right")
    for trial in found[:_SHOWN]:
        row = [*trial.values, *(trial.params.get(name, "") for name in params)]
        table.add_row(study.workdir(trial.number).name, *map(short, row))
    return table


def _why_none(study: "Study") -> str:
    errors = [trial.user_attrs["error"] for trial in study.trials() if "error" in trial.user_attrs]
    return errors[0] if errors else "No trial came to its end."


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
