"""How the network was trained: what its config says, where, for how long, at what price."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bcjax import config as configs
from bcjax.reports.pages.numbers import NONE, duration, listed
from bcjax.reports.pages.story import Block, Charts, Fold, Table, Text
from bcjax.reports.run import learning
from bcjax.reports.run.artefacts import Artefacts

_RESOLVED = ("data.source", "data.classes", "workdir")  # not choices about training


def training(run: Artefacts) -> list[Block]:
    """Curves, sessions, and the config: what differs from the defaults, and all of it."""
    blocks: list[Block] = []
    if curves := learning.charts(run):
        blocks.append(Charts(curves))
    blocks.append(_spent(run))
    ours, default = configs.flatten(run.config), configs.flatten(configs.default())
    chosen = [[f"`{k}`", _value(v)] for k, v in ours.items() if v != default[k]]
    everything = [[f"`{key}`", _value(value)] for key, value in ours.items()]
    shown = [row for row in chosen if row[0].strip("`") not in _RESOLVED]
    return [
        *blocks,
        Table(["setting", "value"], shown, "What differs from the defaults", words=2),
        Fold(
            f"All {len(everything)} settings",
            [Table(["setting", "value"], everything, words=2)],
        ),
    ]


def _spent(run: Artefacts) -> Block:
    sessions = run.sessions
    if not sessions:
        return Text("Where it was trained, and for how long, was not written down.", "soft")
    devices = dict.fromkeys(f"{each['devices']} x {each['device']}" for each in sessions)
    hosts = dict.fromkeys(_host(each["host"]) for each in sessions)
    versions = sessions[-1]["versions"]
    seconds = sum(each["seconds"] for each in sessions)
    images = sum(each["images"] for each in sessions)
    joules = [each["joules"] for each in sessions]
    energy = "not readable on this machine"
    if None not in joules:
        energy = f"{sum(joules) / 3600:,.1f} Wh of {listed(sessions[-1]['joules_of'])}"
    rates = [line["train/images_per_s"] for line in run.lines if "train/images_per_s" in line]
    rows = {
        "began": sessions[0]["began"],
        "sessions": f"{len(sessions):,}",
        "time": f"{duration(seconds)}, compilation and evaluations included",
        "steps": f"{sessions[-1]['last_step']:,}",
        "pictures seen": f"{images:,}",
        "images/s": f"{np.median(rates):,.0f} (median of {len(rates):,} log lines)"
        if rates
        else NONE,
        "devices": "; ".join(devices),
        "processes": f"{sessions[-1]['processes']:,}",
        "host": "; ".join(hosts),
        "energy": energy,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return Table(["training", ""], list(rows.items()), words=2)


def _host(host: Mapping[str, Any]) -> str:
    return ", ".join([host["cpu"], f"{host['cores']} cores", host["platform"]])


def _value(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)
