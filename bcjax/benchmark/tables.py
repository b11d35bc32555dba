"""Measurements as a table for the terminal."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rich.table import Table

from bcjax.benchmark import machine
from bcjax.benchmark.inference import EvaluationTimes, PredictionTimes
from bcjax.benchmark.input import InputRates
from bcjax.benchmark.machine import Peaks
from bcjax.benchmark.roofline import AgainstRoofs
from bcjax.benchmark.start_and_checkpoint import CheckpointTimes, Starts
from bcjax.benchmark.suite import Benchmark
from bcjax.benchmark.trace import Profile
from bcjax.benchmark.training import AugmentationTimes, LoopTimes, StepTimes
from bcjax.config import ImageSize

_ROOFS = {"compute": "compute", "bandwidth": "memory"}
HEADINGS = ("what", "images/s", "time", "of the roof", "")
_LEAST_SHARE = 0.005  # the least share of a step's time that is worth a line
_PARTS = {"read": "read from files", "gather": "gathered in RAM", "transfer": "sent to the devices"}


class Row(NamedTuple):
    """A line of the table; what has no rate or no time has none."""

    what: str
    images_per_s: float | None
    seconds: float | None
    note: str
    share_of_roof: float | None = None


def table(page: Benchmark) -> Table:
    """Returns what was measured as a table, a line for each figure."""
    about = page.about
    trace = f" The profile: {page.trace.perfetto}" if page.trace else ""
    result = Table(
        title=f"{setting(page)}, on {about.devices} x {about.device} "
        f"({about.processor}, {about.cores} cores)",
        caption=peaks(page.peaks, page.stolen_share) + trace,
        title_justify="left",
        caption_justify="left",
    )
    for heading in HEADINGS:
        result.add_column(heading, justify="left" if heading in ("what", "") else "right")
    for lines in subjects(page):
        for line in lines:
            result.add_row(*line)
        result.add_section()
    return result


def setting(page: Benchmark) -> str:
    """Returns what was measured, in a few words."""
    config = page.config
    return (
        f"{config.model}, {ImageSize.of(config.image_size)} px, "
        f"{config.batch_size} pictures a step, {config.dtype}, {config.store} store"
    )


def peaks(peak: Peaks, stolen_share: float) -> str:
    """Returns the sentences on the device's peaks, and on a host that gave it to others."""
    disturbed = ""
    if stolen_share > machine.DISTURBED:
        disturbed = (
            f" The host gave {_share(stolen_share)} of the processors' time to others "
            "meanwhile: measure again when it is quiet."
        )
    return (
        f"A device's peaks: {peak.flops_per_s / 1e9:,.0f} GFLOP/s in a matrix product, "
        f"{peak.bytes_per_s / 1e9:,.1f} GB/s in a pass over memory. The roof is the peak that "
        f"asks for more time.{disturbed}"
    )


def subjects(page: Benchmark) -> Iterator[list[tuple[str, ...]]]:
    """Yields the lines of each subject that was measured, a cell for each of `HEADINGS`."""
    for name, rows in _ROWS.items():
        if (figures := getattr(page, name)) is not None:
            yield [
                (row.what, _rate(row.images_per_s), _time(row.seconds),
                 _share(row.share_of_roof), row.note)
                for row in rows(figures)
            ]  # fmt: skip


def _roof(measured: AgainstRoofs) -> str:
    """Returns which roof binds, in a few words."""
    if measured.roof is None:
        return ""
    (other,) = _ROOFS.keys() - {measured.roof}
    caches = " (caches serve a part)" if (measured.share_of_roof or 0) > 1 else ""
    at = _share(getattr(measured, f"share_of_{other}_peak"))
    return f"{_ROOFS[measured.roof]} binds{caches}, {_ROOFS[other]} at {at}"


def _start(figures: Starts) -> Iterator[Row]:
    for name, each in (("cold", figures.cold), ("warm", figures.warm)):
        note = (
            f"imports {_time(each.import_s)}, data and state {_time(each.build_s)}, "
            f"compilation and step {_time(each.first_step_s)}"
        )
        yield Row(f"to the first step, {name}", None, each.seconds, note)


def _step(figures: StepTimes) -> Iterator[Row]:
    rate, seconds = figures.images_per_s, figures.step_ms / 1e3
    yield Row("bare step", rate, seconds, _roof(figures), figures.share_of_roof)
    yield Row(
        "its first call",
        None,
        figures.first_step_s,
        "after compiling and writing all programs, if they were not kept",
    )


def _input(figures: InputRates) -> Iterator[Row]:
    for kind in ("disk", "host", "device"):
        yield Row(f"fed from the {kind} store", getattr(figures, kind).images_per_s, None, "")
    yield Row("decoded by one core", figures.decode.images_per_s, None, "")
    for name in ("read", "gather", "transfer"):
        rate = getattr(figures, name)
        yield Row(_PARTS[name], rate.images_per_s, None, f"{rate.mb_per_s:,.0f} MB/s")


def _train(figures: LoopTimes) -> Iterator[Row]:
    note = f"{_share(figures.share_of_bare_step)} of the bare step"
    yield Row("training loop", figures.images_per_s, figures.step_ms / 1e3, note)
    if whole := figures.whole:
        note = (
            f"{_share(whole.share_of_bare_step)} of the bare step: {whole.steps:,} steps, "
            f"an evaluation of {whole.evaluated:,} pictures, a checkpoint"
        )
        yield Row("whole run", whole.images_per_s, whole.seconds, note)


def _augment(figures: AugmentationTimes) -> Iterator[Row]:
    note = f"alone {_share(figures.share_of_step)} of a step's time; {_roof(figures)}"
    seconds = figures.batch_ms / 1e3
    yield Row("augmentation", figures.images_per_s, seconds, note, figures.share_of_roof)


def _evaluate(figures: EvaluationTimes) -> Iterator[Row]:
    note = f"{figures.images:,} pictures of {figures.split}"
    yield Row("evaluation", figures.images_per_s, figures.seconds, note)
    forward = figures.forward
    note, share = _roof(forward), forward.share_of_roof
    name = f"its forward pass, batch {forward.batch_size}"
    yield Row(name, forward.images_per_s, forward.batch_ms / 1e3, note, share)


def _predict(figures: PredictionTimes) -> Iterator[Row]:
    for each in figures.batches:
        note = f"p99 {_time(each.p99_ms / 1e3)}; {_roof(each)}"
        name, share = f"answers, batch {each.batch_size}", each.share_of_roof
        yield Row(name, each.images_per_s, each.p50_ms / 1e3, note, share)


def _checkpoint(figures: CheckpointTimes) -> Iterator[Row]:
    yield Row("checkpoint, training waits", None, figures.save_ms / 1e3, "")
    for name, milliseconds, rate in (
        ("written", figures.on_disk_ms, figures.save_mb_per_s),
        ("restored", figures.restore_ms, figures.restore_mb_per_s),
    ):
        note = f"{figures.state_mb:,.1f} MB at {rate:,.0f} MB/s"
        yield Row(f"checkpoint {name}", None, milliseconds / 1e3, note)


def _trace(figures: Profile) -> Iterator[Row]:
    for kind, share in sorted((figures.shares or {}).items(), key=lambda each: -each[1]):
        if share >= _LEAST_SHARE:
            yield Row(f"time in {kind}", None, None, _share(share))


_ROWS: dict[str, Callable[[Any], Iterator[Row]]] = {
    "start": _start,
    "step": _step,
    "input": _input,
    "train": _train,
    "augment": _augment,
    "evaluate": _evaluate,
    "predict": _predict,
    "checkpoint": _checkpoint,
    "trace": _trace,
}


def _rate(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
