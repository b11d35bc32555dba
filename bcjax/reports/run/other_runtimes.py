"""The files that the run was exported to: what was checked of each."""

from bcjax.metrics.resampling import Difference
from bcjax.reports.pages.formatting import NONE, number, percent, size
from bcjax.reports.pages.page import Block, Table, Text
from bcjax.reports.run_record import RunRecord

HEAD = (
    "file", "answered by", "size", "same class", "probability differs by", "accuracy",
    "accuracy lost (95 %)", "calibration error", "one picture, median", "99 % are faster",
)  # fmt: skip


def other_runtimes(run: RunRecord) -> list[Block]:
    """Returns a row for each exported file, or how to export the run."""
    exported = run.exported
    if not exported:
        return [Text(f"No file was exported. To do so, run {run.command('export')}.", "soft")]
    blocks: list[Block] = []
    if exported.checkpoint != run.evaluation.checkpoint:
        blocks.append(
            Text(
                f"The files are of checkpoint {exported.checkpoint:,}, and everything else is of "
                f"{run.evaluation.checkpoint:,}: {run.command('export')} writes them anew.",
                "bad",
            )
        )
    first = exported.certificates[0]
    caption = (
        f"Each file was run on pictures of the {first.split} split that the network was not "
        f"trained on, on {first.hardware}. Its answers are compared with the network's own, whose "
        f"calibration error on these pictures is {number(first.own_calibration_error)}."
    )
    return [*blocks, Table(list(HEAD), rows(run), caption)]


def rows(run: RunRecord) -> list[list[str]]:
    """Returns a row for each exported file, under `HEAD`; none if there are none."""
    return [
        [
            each.file,
            each.runtime,
            size(each.bytes),
            f"{each.same_label:,} of {each.n:,}",
            f"{each.difference:.1e}",
            percent(each.accuracy.value) if each.accuracy else NONE,
            _loss(each.loss),
            number(each.calibration_error),
            f"{each.p50_ms:.2f} ms",
            f"{each.p99_ms:.2f} ms",
        ]
        for each in (run.exported.certificates if run.exported else ())
    ]


def _loss(lost: Difference) -> str:
    if lost.value is None or lost.low is None or lost.high is None:
        return NONE
    return f"{percent(lost.value)} ({percent(lost.low)} to {percent(lost.high)})"
