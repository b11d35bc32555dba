"""What a calibration makes of the answers: temperature, sets, `uncertain`, other pictures."""

from collections.abc import Mapping
from typing import Any

from bcjax.metrics.names import describe
from bcjax.reports.pages.numbers import NONE, listed, number, percent, span
from bcjax.reports.pages.story import Block, Table, Text
from bcjax.reports.run.artefacts import Artefacts

_LOSSES = ("log_loss", "ece", "brier")


def calibrated(run: Artefacts) -> list[Block]:
    """What was measured with it, or how to get one."""
    found = run.result.get("calibration")
    if not found:
        both = f"{run.command('calibrate')}, then {run.command('evaluate', f'--split={run.name}')}"
        return [Text(f"The probabilities are as the network gives them; {both} calibrate.", "soft")]
    fitted = (
        f"Fitted on {found['fitted_n']:,} pictures of the {found['fitted_on']} split: temperature "
        f"{number(found['temperature'])}. Measured here, on {found['n']:,}."
    )
    losses = [
        [describe(key).label, number(found[key]["raw"]), number(found[key]["scaled"])]
        for key in _LOSSES
    ]
    sets = found["conformal"]
    by_class, abstention = sets["by_class"], found["abstention"]
    promises = [
        _row("sets hold the true class", percent(sets["coverage"]), sets["measured"]),
        _row("the same, fitted by class", percent(sets["coverage"]), by_class["measured"]),
        _row("answered, not `uncertain`", NONE, abstention["answered"]),
        _row("errors among these", f"≤ {percent(abstention['error_rate'])}", abstention["error"]),
    ]
    if "energy" in found:
        promises.append(_row("unlike training pictures (energy)", NONE, found["energy"]["above"]))
    sizes = (
        f"A set holds {sets['mean_size']:.2f} classes on average, one fitted by class "
        f"{by_class['mean_size']:.2f}."
    )
    few = by_class["too_few"]
    if few:
        sizes += f" Too few pictures to fit sets by class were of {listed(few)}."
    blocks: list[Block] = [
        Text(fitted),
        Table(["probabilities", "as they are", "calibrated"], losses),
        Table(["promise", "asked for", "measured", "95 % interval", "n"], promises),
        Text(sizes),
    ]
    if abstention["answered"] is None:
        blocks.append(
            Text(f"An error rate needs {abstention['needed']:,} pictures to vouch for it.", "soft")
        )
    return blocks


def _row(what: str, asked: str, share: Mapping[str, Any] | None) -> list[str]:
    if not share:
        return [what, asked, NONE, NONE, "0"]
    return [what, asked, percent(share["value"]), span(share), f"{share['n']:,}"]
