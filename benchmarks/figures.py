"""Writes the figures in README.md and docs/ from benchmarks/results.

    python benchmarks/figures.py [--check]

What stands between `<!-- figures:NAME -->` and `<!-- /figures -->` is made anew from
`results/NAME.json`, by the function `table(page)` of the script that the page's `command` names.
NAME may be a pattern (`gpu_*`): then each page that there is. `headlines` is the README's short
list. `--check` writes nothing, and ends with status 1 where a page is not what it would write.
"""

import argparse
import importlib
import json
import re
import shlex
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
DOCS = ROOT / "docs"
SHOWING = (
    "app.md",
    "benchmarks.md",
    "export.md",
    "predicting.md",
    "published/claims.md",
    "serving.md",
)
PAGES = (*(DOCS / name for name in SHOWING), ROOT / "README.md")
MARKS = re.compile(r"(<!-- figures:(\S+) -->\n).*?(<!-- /figures -->)", re.DOTALL)
HEADLINES = "headlines"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if stale")
    parser.add_argument("--page", type=Path, action="append", help="default: all of them")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    pages = options.page or PAGES
    before = {page: page.read_text() for page in pages}
    after = dict(zip(pages, rewrite(list(before.values()), options.results), strict=True))
    stale = [page.name for page in pages if after[page] != before[page]]
    if options.check and stale:
        print(f"{' and '.join(stale)} differ from the results: run python benchmarks/figures.py.")
        return 1
    if not options.check:
        for page in pages:
            page.write_text(after[page])
    return 0


def rewrite(texts: list[str], results: Path) -> list[str]:
    """Makes each marked table of some pages anew.

    Raises:
      SystemExit: If a mark names no result, a result is at no mark, or one does not say how it was
        made.
    """
    unseen = {path.stem for path in results.glob("*.json")}

    def make(mark: re.Match[str]) -> str:
        begin, name, end = mark.groups()
        if name == HEADLINES:
            return f"{begin}\n{headlines(results)}\n\n{end}"
        paths = sorted(results.glob(f"{name}.json"))
        if not paths and "*" not in name:
            sys.exit(f"{results}/{name}.json is missing, but a page shows it.")
        unseen.difference_update(path.stem for path in paths)
        return begin + "".join(f"\n{table(path)}\n\n" for path in paths) + end

    written = [MARKS.sub(make, text) for text in texts]
    if unseen:
        sys.exit(f"No page shows a table of {', '.join(sorted(unseen))}: mark its place.")
    return written


def table(path: Path) -> str:
    """Returns a result as Markdown, by the script that made it."""
    page = json.loads(path.read_text())
    if "command" not in page:
        sys.exit(f"{path} does not say which command made it: measure it again.")
    return importlib.import_module(maker(page).stem).table(page).strip()


def maker(page: dict) -> Path:
    """Returns the script in the page's command: `python benchmarks/SCRIPT.py` or `bcjax ...`."""
    program, script, *_ = shlex.split(page["command"])
    return HERE / ("sitting.py" if program == "bcjax" else Path(script).name)


def headlines(results: Path) -> str:
    """Returns six figures for a reader in a hurry, each with the script that measured it."""
    names = ("quickstart", "runs", "answers", "steps_cpu", "steps_xeon", "augment_cpu", "copies")
    kept = {name: json.loads((results / f"{name}.json").read_text()) for name in names}
    runs = {run["name"]: run for run in kept["runs"]["runs"]}
    transfer, answers = runs["transfer"], kept["answers"]["questions"]
    right, lost = transfer["accuracy"], answers["compared"]["tests"][0]["difference"]
    steps, on_xeon = (
        [row["over"]["timm"]["bcjax"] for row in kept[name]["networks"]]
        for name in ("steps_cpu", "steps_xeon")
    )
    augment, copies = kept["augment_cpu"], kept["copies"]
    by_place = next(  # as `group_by=copies` groups
        each
        for each in copies["groupings"]
        if each["grouping"] == "places" and each["truth"] == "place"
    )
    quickstarts = sorted(run["accuracy"] for run in kept["quickstart"]["seeds"])
    processors = [run["accuracy"] for run in kept["quickstart"]["again"].values()]
    rows = [
        (
            f"The quickstart with {len(quickstarts)} seeds: accuracy on "
            f"{kept['quickstart']['seeds'][0]['n']} test drawings",
            f"{statistics.median(quickstarts):.1%} (median), "
            f"{quickstarts[0]:.1%} to {quickstarts[-1]:.1%}; on one core, and without AVX-512, "
            f"{min(processors):.1%} to {max(processors):.1%}",
            "quickstart",
        ),
        (
            f"MobileNetV2 fine-tuned on {transfer['train']:,} pictures of {transfer['classes']} "
            f"kinds of cells, {transfer['image_size']} px, {transfer['seconds'] / 60:.0f} minutes "
            f"on two cores: accuracy on {right['n']} test pictures",
            f"{right['value']:.1%} ({right['low']:.1%} - {right['high']:.1%})",
            "runs",
        ),
        (
            "What published weights win over random ones there, in points of accuracy",
            f"{-100 * lost['value']:.1f} ({-100 * lost['high']:.1f} - {-100 * lost['low']:.1f})",
            "answers",
        ),
        (
            "Training steps per second on a CPU, beside PyTorch with timm, on "
            f"{len(steps)} networks",
            f"{min(steps):.2f} to {max(steps):.2f} times as many; on an Intel Xeon "
            f"{min(on_xeon):.2f} to {max(on_xeon):.2f}",
            "steps_cpu",
        ),
        (
            "Augmentation (RandAugment, MixUp or CutMix) beside torchvision with a worker for "
            "each core",
            f"{augment['ratio']:.1f} times as fast",
            "augment_cpu",
        ),
        (
            f"{copies['pictures']:,} augmented copies of {copies['originals']} blood smears, "
            "grouped by their place on the slide: precision and recall of pairs",
            f"{by_place['precision']:.3f}, {by_place['recall']:.3f}",
            "copies",
        ),
    ]
    lines = ["| what | figure | measured by |", "|---|---|---|"]
    lines += [f"| {what} | {figure} | `{_script(kept[name])}` |" for what, figure, name in rows]
    return "\n".join(lines)


def _script(page: dict) -> str:
    return " ".join(shlex.split(page["command"])[:2])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
