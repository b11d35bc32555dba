"""What each part of a config is worth: runs without it, and with it alone."""

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from bcjax.evaluation import answers
from bcjax.metrics import resampling
from bcjax.metrics.resampling import ResampledMetrics
from bcjax.runtime import files
from bcjax.runtime.run_dir import RunDir
from bcjax.tune import objectives
from bcjax.tune import switches as parts
from bcjax.tune import trial as trials
from bcjax.tune.switches import Switch

ABLATION_FILE = "ablation.json"
REFERENCE = "all"


@dataclasses.dataclass(frozen=True)
class Ablation:
    """What is tried.

    Attributes:
      config: Judged on the watched split: see `trial.judged_on_watched`.
      switches: Its parts.
      modes: Some of `switches.MODES`.
      seeds: Runs of each kind, from `config.seed` on.
      out: Where their folders are.
    """

    config: ConfigDict
    switches: Sequence[Switch]
    modes: Sequence[str]
    seeds: int
    out: Path

    def runs(self) -> dict[str, tuple[str, ...]]:
        """Returns which switches are on, by the name of the kind of run."""
        return dict(parts.runs([switch.name for switch in self.switches], self.modes))

    def workdirs(self, name: str) -> list[Path]:
        """Returns the folder of each seed's run."""
        if self.seeds == 1:
            return [self.out / name]
        return [self.out / f"{name}-seed-{i}" for i in range(self.seeds)]


def work(ablation: Ablation, console: Console) -> tuple[dict[str, str], int]:
    """Trains all runs, or goes on with them. One that fails is told, and the next one follows.

    Returns:
      Why runs failed, by name of the kind; and the exit status: not 0 where a signal ended it.

    Raises:
      UserError: If a run fails with which all others are compared.
    """
    trials.check_alone(ablation.config)
    metric = ablation.config.checkpoint.best
    faults: dict[str, str] = {}
    for name, on in ablation.runs().items():
        for seed, workdir in enumerate(ablation.workdirs(name)):
            config = parts.apply(ablation.config, ablation.switches, on)
            config.seed += seed
            try:
                outcome = trials.run(config, workdir)
                if not outcome.signal:
                    (value,) = objectives.measure([metric], workdir, outcome.evaluation)
            except Exception as error:
                fault = trials.failure(error)
                if not fault or name == REFERENCE:
                    raise
                faults[name] = fault
                console.print(f"{workdir.name} failed: {fault}", highlight=False, soft_wrap=True)
                continue
            if outcome.signal:
                console.print("Stopped: the same command goes on from there.")
                return faults, outcome.exit_status
            console.print(f"{workdir.name} {metric} {value:.4f}", highlight=False, soft_wrap=True)
    return faults, 0


def measure(ablation: Ablation, faults: dict[str, str]) -> dict[str, Any]:
    """Compares each kind of run with the one that has all.

    Args:
      ablation: Whose runs have come to their end.
      faults: From `work`.

    Returns:
      Plain Python values, ready for JSON: `split`, `metric`, `n`, `seeds`, `reference`, `switches`
      and `runs`: for each kind its `name`, the switches that are `on`, `workdirs`, `values` of the
      seeds, their `mean` and standard `deviation` (None of one), `error`, and `difference` to the
      reference: a figure of the seeds' mean, whose interval (and `p`) is from resampling the
      pictures, the same for both; what seeds do is in the deviation. None where it failed, or the
      pictures are others.
    """
    config = ablation.config
    split, metric = config.eval.split, config.checkpoint.best
    reference = _read(ablation, REFERENCE)
    rows = []
    for name, on in ablation.runs().items():
        row: dict[str, Any] = {
            "name": name,
            "on": list(on),
            "workdirs": [path.name for path in ablation.workdirs(name)],
            "error": faults.get(name),
            **dict.fromkeys(("values", "mean", "deviation", "difference")),
        }
        if name not in faults:
            each = _read(ablation, name)
            values = [float(run.values[metric]) for run, _ in each]
            row |= {
                "values": values,
                "mean": statistics.fmean(values),
                "deviation": statistics.stdev(values) if len(values) > 1 else None,
            }
            if name != REFERENCE and each[0][1] == reference[0][1]:
                one, other = (
                    resampling.mean(*(run.metric(metric) for run, _ in seeds))
                    for seeds in (each, reference)
                )
                row["difference"] = resampling.difference(one, other).to_dict()
        rows.append(row)
    return {
        "split": split,
        "metric": metric,
        "n": len(reference[0][1]),
        "seeds": ablation.seeds,
        "reference": REFERENCE,
        "switches": [dataclasses.asdict(switch) for switch in ablation.switches],
        "runs": rows,
    }


def write(measured: dict[str, Any], out: Path) -> Path:
    """Writes `ablation.json`, atomically, and returns its path."""
    path = out / ABLATION_FILE
    files.write_json(path, measured)
    return path


def _read(ablation: Ablation, name: str) -> list[tuple[ResampledMetrics, tuple[str, ...]]]:
    """Returns each seed's run on the same resamples, and the pictures that it answered."""
    found = []
    for workdir in ablation.workdirs(name):
        read = answers.read(RunDir(workdir).answers(ablation.config.eval.split))
        resamples = ablation.config.eval.resamples
        run = resampling.resample(read.predictions(), read.groups, resamples=resamples)
        found.append((run, read.ids))
    return found
