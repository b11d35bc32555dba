"""What a sweep came to: `study.json`."""

from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from bcjax.runtime import files
from bcjax.tune import objectives
from bcjax.tune.study import Study
from bcjax.tune.sweep import Sweep

STUDY_FILE = "study.json"


def ranked(sweep: Sweep, study: Study) -> list[FrozenTrial]:
    """Returns the trials that came to their end, the best by the first objective first."""
    sign = 1 if objectives.direction(sweep.objectives[0]) == "minimize" else -1
    done = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    return sorted(done, key=lambda trial: (sign * trial.values[0], trial.number))


def best(study: Study) -> list[int]:
    """Returns the numbers of the trials than which none is better in all objectives."""
    return sorted(trial.number for trial in study.optuna.best_trials)


def write(sweep: Sweep, study: Study) -> Path:
    """Writes `study.json` to the study's folder, atomically, and returns its path.

    It holds `split` (on which the metrics are), `objectives` (name, direction, unit), `best`
    (numbers: the Pareto set) and `trials`: each its number, state, params, values, error, seconds
    from begin to end (all interruptions in it) and folder.
    """
    page = {
        "split": sweep.config.eval.split,
        "objectives": [
            {
                "name": name,
                "direction": objectives.direction(name),
                "unit": objectives.UNITS.get(name, ""),
            }
            for name in sweep.objectives
        ],
        "sampler": sweep.sampler,
        "pruner": sweep.pruner,
        "best": best(study),
        "trials": [_told(trial, study) for trial in study.trials()],
    }
    path = study.out / STUDY_FILE
    files.write_json(path, page)
    return path


def _told(trial: FrozenTrial, study: Study) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "params": trial.params,
        "values": trial.values,
        "error": trial.user_attrs.get("error"),
        "seconds": trial.duration.total_seconds() if trial.duration else None,
        "workdir": study.workdir(trial.number).name,
    }
