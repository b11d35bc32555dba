"""What `bcjax benchmark --out=benchmarks/results/sitting_NAME.json` measured, as Markdown."""

import page as pages

from bcjax.benchmark import tables


def table(page: dict) -> str:
    """The page as Markdown."""
    lines = [f"| {' | '.join(tables.HEADINGS)} |", f"|{'---|' * len(tables.HEADINGS)}"]
    lines += [f"| {' | '.join(line)} |" for subject in tables.subjects(page) for line in subject]
    told = f"{tables.setting(page)}. {tables.peaks(page)} {pages.measured(page)}"
    return "\n".join([*lines, "", told])
