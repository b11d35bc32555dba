"""Writes the README's tables of figures from benchmarks/results: nothing there is typed by hand.

    python benchmarks/readme.py [--check]

What stands between `<!-- figures:NAME -->` and `<!-- /figures -->` is made anew from
`results/NAME.json`, by the function `table(page)` of the script that the page's `command` names.
NAME may be a pattern (`gpu_*`): then each page that there is. `--check` writes nothing, and ends
with status 1 where the README is not what it would write.
"""

import argparse
import importlib
import json
import re
import shlex
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
MARKS = re.compile(r"(<!-- figures:(\S+) -->\n).*?(<!-- /figures -->)", re.DOTALL)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if stale")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    before = options.readme.read_text()
    after = rewritten(before, options.results)
    if options.check and after != before:
        print(f"{options.readme.name} does not show the results: run python benchmarks/readme.py.")
        return 1
    if not options.check:
        options.readme.write_text(after)
    return 0


def rewritten(text: str, results: Path) -> str:
    """Makes each marked table anew.

    Raises:
      SystemExit: If a mark names no page, a page is at no mark, or one does not say how it was
        made.
    """
    unseen = {path.stem for path in results.glob("*.json")}

    def made(mark: re.Match[str]) -> str:
        begin, name, end = mark.groups()
        paths = sorted(results.glob(f"{name}.json"))
        if not paths and "*" not in name:
            sys.exit(f"{results}/{name}.json is missing, which the README shows.")
        unseen.difference_update(path.stem for path in paths)
        return begin + "".join(f"\n{table(path)}\n\n" for path in paths) + end

    text = MARKS.sub(made, text)
    if unseen:
        sys.exit(f"The README shows no table of {', '.join(sorted(unseen))}: mark its place.")
    return text


def table(path: Path) -> str:
    """A page as Markdown, by the script that made it."""
    page = json.loads(path.read_text())
    if "command" not in page:
        sys.exit(f"{path} does not say which command made it: measure it again.")
    return importlib.import_module(maker(page).stem).table(page).strip()


def maker(page: dict) -> Path:
    """The script in the page's command, `python benchmarks/SCRIPT.py ...`; or `bcjax benchmark`."""
    program, script, *_ = shlex.split(page["command"])
    return HERE / ("sitting.py" if program == "bcjax" else Path(script).name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
