"""A sweep and an ablation as pages: tables, and charts with intervals."""

import math
from typing import TYPE_CHECKING

import numpy as np

from bcjax.metrics import runs as several_runs
from bcjax.metrics.names import EVERYWHERE, describe, metric_name
from bcjax.metrics.resampling import Resampled
from bcjax.reports.pages import charts, formatting
from bcjax.reports.pages.by_setting import Measured, draw, draw_bars
from bcjax.reports.pages.formatting import NONE
from bcjax.reports.pages.page import Block, Chart, Charts, Page, Section, Table, Text
from bcjax.tune.objectives import COSTS

if TYPE_CHECKING:
    from bcjax.tune.ablation import AblatedRun, AblationResult
    from bcjax.tune.sweep import Objective, SweepResult

_OVER = "Dots are trials. Where several tried one value, their mean has a 95 % interval over these "
_OVER += "trials, in which the other settings differ, too."


def sweep_page(found: "SweepResult") -> Page:
    """Returns the page of a sweep with a completed trial or more."""
    params = list(dict.fromkeys(key for trial in found.trials for key in trial.params))
    head = ["trial", "state", *params, *(_named(each) for each in found.objectives)]
    rows = [
        [
            trial.workdir,
            trial.state,
            *(formatting.setting(trial.params.get(key)) for key in params),
            *(f"{value:.4g}" for value in trial.values or [math.nan] * len(found.objectives)),
        ]
        for trial in found.trials
    ]
    rows = [[NONE if cell == "nan" else cell for cell in row] for row in rows]
    drawn = [
        _over_setting(found, number, key)
        for number in range(len(found.objectives))
        for key in params
    ]
    best = ", ".join(f"trial {number}" for number in found.best)
    sections = [
        Section("Results", [
            *(Text(caution, "bad") for caution in found.cautions),
            Text(f"No trial is better than {best}." if best else "No trial came to its end."),
        ]),
        Section("Settings", [Text(_OVER, "soft"), Charts(drawn)]),
        Section("Trials", [Table(head, rows, text_columns=2 + len(params))]),
    ]  # fmt: skip
    about = f"{len(found.trials)} trials, metrics on {found.split}; sampler {found.sampler}"
    return Page("Sweep", about, sections)


def _named(objective: "Objective") -> str:
    name = objective.name if objective.name in COSTS else metric_name(objective.name)
    return f"{name}, {objective.unit}" if objective.unit else name


@charts.style()
def _over_setting(found: "SweepResult", number: int, key: str) -> Chart:
    """Draws an objective over what was tried of one setting."""
    objective = found.objectives[number]
    bounds = EVERYWHERE if objective.name in COSTS else describe(objective.name).bounds
    tried = [each for each in found.trials if each.state == "complete" and key in each.params]
    measured = []
    for value in dict.fromkeys(trial.params[key] for trial in tried):
        each = [
            trial.values[number] for trial in tried if trial.params[key] == value and trial.values
        ]
        one = np.zeros(1, int)  # of no pictures: they are not resampled
        mean = several_runs.mean([Resampled(v, None, one, within=bounds) for v in each])
        measured.append(Measured(value, mean.mean or 0.0, mean.low, mean.high, each))
    named = _named(objective)
    name = f"{objective.name}_{key}".replace(".", "_")
    return Chart(name, f"{named[:1].upper()}{named[1:]} over {key}", draw(key, named, measured))


def ablation_page(found: "AblationResult") -> Page:
    """Returns the page of an ablation."""
    metric = metric_name(found.metric)
    others = [run for run in found.runs if run.difference and run.difference["value"] is not None]
    head = ["run", "parts that are on", metric, "over seeds", "difference", "95 % interval", "p"]
    blocks: list[Block] = [Text(caution, "bad") for caution in found.cautions]
    if others:
        blocks.append(Charts([_differences(found, others, metric)]))
    about = f"{metric} on {found.n:,} pictures of {found.split}, {found.seeds} "
    about += "seed" if found.seeds == 1 else "seeds"
    rows = [_ablated(run) for run in found.runs]
    sections = [Section("Results", blocks), Section("Runs", [Table(head, rows, text_columns=2)])]
    return Page("Ablation", about, sections)


@charts.style()
def _differences(found: "AblationResult", runs: list["AblatedRun"], metric: str) -> Chart:
    measured = []
    for run in runs:
        assert run.difference
        difference = run.difference
        measured.append(
            Measured(run.name, difference["value"], difference.get("low"), difference.get("high"))
        )
    label = f"{metric} minus that of {found.reference}"
    over = "seeds and pictures" if found.seeds > 1 else "pictures; another seed is not in them"
    return Chart(
        "difference",
        f"How far each run is from {found.reference}",
        draw_bars(label, measured, signed=True),
        f"With 95 % intervals over {over}. Not corrected for the number of runs.",
    )


def _ablated(run: "AblatedRun") -> list[str]:
    on = ", ".join(run.on) or "none"
    if run.error:
        return [run.name, on, "failed", *[NONE] * 4]
    deviation = NONE if run.deviation is None else f"± {run.deviation:.4f}"
    cells = [run.name, on, formatting.number(run.mean), deviation]
    found = run.difference
    if not found or found["value"] is None:
        return [*cells, *[NONE] * 3]
    interval = f"{found['low']:+.4f} to {found['high']:+.4f}" if found["interval"] else NONE
    return [*cells, f"{found['value']:+.4f}", interval, formatting.p_value(found["p"])]
