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

Each trial is an ordinary run, OUT/trial-0007, which evaluate, report and compare (with
--split=val) take. It is judged on the split that is watched during training (val); the test split
is not looked at: evaluate the trial you choose on it. The same command again goes on with what was
interrupted, and does the trials that are left of --trials. The same command elsewhere works on the
same study: on hosts that share OUT, or that share a database by --storage and have an OUT of their
own of the same name. Writes OUT/study.json.
"""

import sys
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console
from rich.table import Table

from bcjax.cli import config_flag
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.tune.study import Study
    from bcjax.tune.sweep import Sweep

_SHOWN = 10  # trials in the table


def define(values: flags.FlagValues, argv: list[str]) -> None:
    config_flag.define(values)
    flags.DEFINE_string("space", None, "What is tried: a .yaml or .py file.", flag_values=values)
    flags.DEFINE_integer("trials", 20, "How many, in all.", 1, flag_values=values)
    flags.DEFINE_string("out", None, "The folder of the study.", flag_values=values)
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
    config = config_flag.read(values)
    if not values.space:
        raise UserError("Give what is to be tried, such as --space=space.yaml.")
    if not values.out:
        raise UserError("Give a folder for the trials, such as --out=runs/sweep.")
    # Here, for JAX takes a second to import, and a mistake in the flags should show before that.
    from bcjax.runtime import compilation, extras

    extras.check("optuna", "bcjax sweep")
    from bcjax.tune import objectives, processes, results
    from bcjax.tune.space import Space
    from bcjax.tune.sweep import Sweep, work
    from bcjax.tune.trial import judged_on_watched

    compilation.use_cache()
    console = Console()
    names = objectives.parse(values.objective, config)
    metric = next((name for name in names if name in objectives.METRICS), config.checkpoint.best)
    sweep = Sweep(
        judged_on_watched(config, metric),
        Space(files.user_path(values.space)),
        names,
        values.trials,
        values.sampler,
        values.pruner,
    )
    study = sweep.open(files.user_path(values.out), values.storage)
    if values.processes > 1:
        again = [*sys.argv[1:], "--processes=1", "--nosummary"]
        status = processes.run(values.processes, again)
    else:
        status = work(sweep, study, console)
    if values.summary:
        path = results.write(sweep, study)
        console.print(_title(sweep, study), highlight=False, soft_wrap=True)
        console.print(_table(sweep, study), highlight=False)
        console.print(f"written to {path}", highlight=False, soft_wrap=True)
    if status == 0 and not results.ranked(sweep, study) and values.summary:
        raise UserError(_why_none(study))
    return status


def _title(sweep: "Sweep", study: "Study") -> str:
    states = [trial.state.name.lower() for trial in study.trials()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    shown = "the best" if len(sweep.objectives) == 1 else "those than which none is better in all"
    return f"{counts}; {shown}, with metrics on {sweep.config.eval.split}:"


def _table(sweep: "Sweep", study: "Study") -> Table:
    """Returns the best trials; with several objectives those than which none is better in all."""
    from bcjax.tune import results
    from bcjax.tune.sweep import short

    found = results.ranked(sweep, study)
    if len(sweep.objectives) > 1:
        front = results.best(study)
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
