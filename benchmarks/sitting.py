"""What `bcjax benchmark --out=benchmarks/results/sitting_NAME.json` measured, as Markdown."""

import page as pages

from bcjax.benchmark import telling


def table(page: dict) -> str:
    """The page as Markdown."""
    lines = [f"| {' | '.join(telling.HEADINGS)} |", f"|{'---|' * len(telling.HEADINGS)}"]
    lines += [f"| {' | '.join(line)} |" for subject in telling.subjects(page) for line in subject]
    told = f"{telling.setting(page)}. {telling.peaks(page)} {pages.measured(page)}"
    return "\n".join([*lines, "", told])
