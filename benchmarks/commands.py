"""How long a person waits for whole commands, from their start to their end, with empty caches.

    python benchmarks/commands.py --out=benchmarks/results/commands_cpu.json [--tests]

The tests are timed as well if asked for: they take longer than all else.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
from pathlib import Path

import page as pages
import programs

# How often each is given: what is over at once is timed more than once.
COMMANDS = {
    "bcjax --help": 5,
    "bcjax prepare --data.source=../shared/data/pbc96 --config.data.drop=conflicts "
    "--out=FOLDER/pbc96": 1,
    "bcjax train --config=configs/quickstart.py --workdir=FOLDER/quickstart": 1,
}
TESTS = "pytest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", action="store_true", help="time the tests, too")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    commands = COMMANDS | ({TESTS: 1} if options.tests else {})
    page = pages.begin() | {"commands": [timed(*each) for each in commands.items()]}
    pages.write(page, options.out)
    print(table(page))


def timed(command: str, times: int) -> dict:
    """Seconds of a command, each time, and the last line that it printed."""
    with tempfile.TemporaryDirectory() as folder:
        program, *words = shlex.split(command.replace("FOLDER", folder))
        words = [str(Path(sys.executable).with_name(program)), *words]
        cache = {"BCJAX_CACHE": str(Path(folder) / "cache")}
        done = [programs.run(words, cache) for _ in range(times)]
    seconds = [round(taken, 3) for _, taken in done]
    return {"command": command, "seconds": seconds, "said": done[-1][0].strip().splitlines()[-1]}


def table(page: dict) -> str:
    """The page as Markdown."""
    lines = ["| whole command | time |", "|---|---|"]
    for each in page["commands"]:
        count = f", {each['said']}" if each["command"] == TESTS else ""
        lines.append(
            f"| `{each['command']}`{count} | {waited(statistics.median(each['seconds']))} |"
        )
    return "\n".join([*lines, "", f"Caches empty. {pages.measured(page)}"])


def waited(seconds: float) -> str:
    """'0.04 s', '27 s' or '21 min'."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    main()
