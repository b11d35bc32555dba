"""What the network was asked, what is known of its pictures, and how it was trained."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import ticker

from bcjax import config as configs
from bcjax.config import ImageSize
from bcjax.data.curate.datasheet_page import PAGE
from bcjax.reports.datasheet import datasheet, verdicts
from bcjax.reports.pages import charts
from bcjax.reports.pages.formatting import NONE, duration, energy, enumeration, setting
from bcjax.reports.pages.page import Block, Chart, Charts, Details, Facts, Table, Text
from bcjax.reports.run_record import RunRecord
from bcjax.runtime.training_sessions import Host, Session, total_joules

_NOT_CHOSEN = ("data.source", "data.classes", "workdir")  # not choices about training
# Name, title, metric in training, metric in evaluation and unit of each chart.
_CHARTS = (
    ("loss", "Loss", "train/loss", "log_loss", "nats"),
    ("accuracy", "Accuracy", "train/accuracy", "accuracy", ""),
    ("learning_rate", "Learning rate", "train/lr", "", ""),
)
_CAPTIONS = {
    "loss": "Training: the mean of the loss that is minimised (with label smoothing, class weights "
    "and augmented pictures). Evaluation: the log loss of the pictures as they are.",
}


def task(run: RunRecord) -> list[Block]:
    """Returns the task, the data and how many pictures there are of each class."""
    result, split, config = run.evaluation, run.evaluation.split, run.config
    counts = run.trained_on.counts if run.trained_on else {}
    size = ImageSize.of(config.data.image_size)
    own = split in counts and result.source == config.data.source
    learnt = f"{sum(counts['train']):,} pictures" if "train" in counts else "other pictures"
    kind = run.datasheet.source.kind if run.datasheet else ""
    where = f"the {split} split of {run.source}" if own else f"{Path(result.source).name}"
    blocks: list[Block] = [
        Text(
            f"Which of {len(result.classes)} classes is the cell in a picture of {size.height} by "
            f"{size.width} pixels? A network, {config.model.name}, was trained on {learnt} and "
            f"evaluated on {where}: {result.n:,} pictures."
        ),
        Facts(
            [
                ("data", run.source, kind),
                ("pictures measured on", f"{result.n:,}", f"{split} split"),
                ("classes", str(len(result.classes)), ""),
                ("network", config.model.name, f"checkpoint {result.checkpoint:,}"),
            ]
        ),
    ]
    if counts:
        rows = [
            [name, *(f"{each[label]:,}" for each in counts.values())]
            for label, name in enumerate(result.classes)
            if label < len(next(iter(counts.values())))
        ]
        rows.append(["all", *(f"{sum(each):,}" for each in counts.values())])
        blocks.append(Table(["class", *counts], rows, "Pictures of the prepared set"))
    return blocks


def data(run: RunRecord) -> list[Block]:
    """Returns what the datasheet says of the pictures that the run was trained on."""
    sheet, path = run.datasheet, run.prepared_path
    if not sheet or path is None:
        where = "" if path is None else f": {path}"
        return [Text(f"The prepared set and its datasheet are gone{where}.")]
    page = Text(f"The whole datasheet, with pictures: `{path / PAGE}`", "soft")
    return [*verdicts(sheet.leaks.sentence, sheet.canary), *datasheet(sheet), page]


def training(run: RunRecord) -> list[Block]:
    """Returns the curves, the cost, the settings that differ from the defaults, and all of them."""
    blocks: list[Block] = []
    if drawn := training_charts(run):
        blocks.append(Charts(drawn))
    blocks.append(_cost(run))
    own, default = configs.flatten(run.config), configs.flatten(configs.default())
    rows = {key: [f"`{key}`", setting(value)] for key, value in own.items()}
    chosen = [key for key in own if own[key] != default[key] and key not in _NOT_CHOSEN]
    head = ["setting", "value"]
    caption = "Settings that differ from the defaults"
    return [
        *blocks,
        Table(head, [rows[key] for key in chosen], caption, text_columns=2),
        Details(f"All {len(rows)} settings", [Table(head, list(rows.values()), text_columns=2)]),
    ]


def training_charts(run: RunRecord) -> list[Chart]:
    """Draws the loss, the accuracy and the learning rate, as far as they were logged."""
    return [chart for each in _CHARTS if (chart := _chart(run, *each))]


@charts.style()
def _chart(
    run: RunRecord, name: str, title: str, training_key: str, evaluation_key: str, unit: str
) -> Chart | None:
    split = run.config.eval.split
    keys = {"train": training_key}
    if evaluation_key:
        keys[split] = f"{split}/{evaluation_key}"
    curves = {
        label: [(line["step"], line[key]) for line in run.log if line.get(key) is not None]
        for label, key in keys.items()
    }
    if not any(curves.values()):
        return None
    figure, axes = charts.new_figure(4.6, 2.6)
    for label, points in curves.items():
        if points:
            x, y = zip(*points, strict=True)
            marker = "o" if len(points) < 40 else None
            colour = charts.SPLIT_COLOURS.get(label, charts.INK)
            axes.plot(x, y, color=colour, lw=1.4, label=label, marker=marker, ms=2.5)
    checkpoint = run.evaluation.checkpoint
    if checkpoint:
        label = f"checkpoint {checkpoint:,}"
        axes.axvline(checkpoint, color=charts.INK, lw=0.8, ls=":", label=label)
    axes.set_xlabel("step")
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.legend(ncols=3, loc="outside upper right", borderpad=0, handlelength=1.4)
    return Chart(name, title, figure, _CAPTIONS.get(name, ""))


def _cost(run: RunRecord) -> Block:
    """Returns where the network was trained, for how long, and with how much energy."""
    sessions = run.sessions
    if not sessions:
        return Text("Where the network was trained, and for how long, was not recorded.", "soft")
    last = sessions[-1]
    devices = dict.fromkeys(f"{each.devices} x {each.device}" for each in sessions)
    hosts = dict.fromkeys(_host(each.host) for each in sessions)
    seconds = sum(each.seconds for each in sessions)
    joules, used = total_joules(sessions), "not readable on this machine"
    if joules is not None:
        used = f"{energy(joules)} of {enumeration(last.joules_of)}"
    rates = [line["train/images_per_s"] for line in run.log if "train/images_per_s" in line]
    median = f"{np.median(rates):,.0f} (median of {len(rates):,} log lines)" if rates else NONE
    rows = {
        "began": sessions[0].began,
        "sessions": f"{len(sessions):,}",
        "time": f"{duration(seconds)}, compilation and evaluations included",
        "steps": f"{last.last_step:,}",
        "pictures seen": f"{sum(each.images for each in sessions):,}",
        "images/s": median,
        "devices": "; ".join(devices),
        "processes": f"{last.processes:,}",
        "host": "; ".join(hosts),
        "energy": used,
        "ended": str(last.ending or "not recorded: it goes on, was killed, or is an older run's"),
        "changed": "; ".join(_changes(sessions)) or NONE,
        "versions": ", ".join(f"{name} {version}" for name, version in last.versions.items()),
    }
    return Table(["training", ""], list(rows.items()), text_columns=2)


def _changes(sessions: Sequence[Session]) -> list[str]:
    """Returns 'optim.lr from 0.001 to 0.003 at step 120' for each setting that changed."""
    return [
        f"{key} from {setting(before)} to {setting(since)} at step {session.first_step:,}"
        for session in sessions
        for key, (before, since) in session.changes.items()
    ]


def _host(host: Host) -> str:
    return ", ".join([host.cpu, f"{host.cores} cores", host.platform])
