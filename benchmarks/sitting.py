"""What `bcjax benchmark --out=benchmarks/results/sitting_NAME.json` measured, as Markdown."""

import page as pages

from bcjax.benchmark import tables
from bcjax.benchmark.suite import Benchmark


def table(page: dict) -> str:
    """The page as Markdown."""
    lines = [f"| {' | '.join(tables.HEADINGS)} |", f"|{'---|' * len(tables.HEADINGS)}"]
    found = Benchmark.from_dict(page)
    lines += [f"| {' | '.join(line)} |" for subject in tables.subjects(found) for line in subject]
    peaks = tables.peaks(found.peaks, found.stolen_share)
    told = f"{tables.setting(found)}. {peaks} {pages.measured(page)}"
    return "\n".join([*lines, "", told])
