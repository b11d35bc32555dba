"""What every page in benchmarks/results has: how it was made, on what, and how that is said."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bcjax.runtime import files

_ABOUT = (
    "import json; from bcjax.benchmark import machine; print(json.dumps(machine.about().to_dict()))"
)


def begin(**peers: str) -> dict[str, Any]:
    """What a page begins with.

    The machine is asked of a child: this process must not hold an accelerator that other programs
    are to be measured on.

    Args:
      peers: Versions of what bcjax is compared with.

    Returns:
      `command`, `about` (the machine, the date and our versions) and, if there are any, `peers`.
    """
    said = subprocess.run(
        [sys.executable, "-c", _ABOUT],
        env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    page = {"command": command(sys.argv), "about": json.loads(said)}
    return page | ({"peers": peers} if peers else {})


def command(argv: list[str]) -> str:
    """The command line, as others can give it.

    An absolute path is of no use to them: of `--peers=/anywhere/bin/python` stays `--peers=PEERS`.
    """
    script = Path(argv[0])
    words = ["python", f"{script.parent.name}/{script.name}"]
    for word in argv[1:]:
        flag, _, value = word.partition("=")
        shown = flag.lstrip("-").upper().replace("-", "_")
        words.append(f"{flag}={shown}" if os.path.isabs(value) else word)
    return shlex.join(words)


def write(page: dict[str, Any], out: Path | None) -> None:
    """Writes a page whole or not at all; None: nowhere."""
    if out is not None:
        files.write_json(out, page)


def shell(commands: Iterable[str]) -> str:
    """Commands as a block to be opened and copied, each once."""
    block = ["```sh", *dict.fromkeys(commands), "```"]
    summary = '<details markdown="1"><summary>The commands</summary>'
    return "\n".join([summary, "", *block, "", "</details>"])


def measured(page: dict[str, Any]) -> str:
    """The sentence below a table: on what it was measured, when, and by which command."""
    peers = "".join(f", {name} {version}" for name, version in page.get("peers", {}).items())
    return f"Measured on {on(page['about'])}{peers}, by `{page['command']}`."


def on(about: dict[str, Any]) -> str:
    """'2 cores of AMD EPYC, 2026-11-21, bcjax 0.1.0 with JAX 0.10.2', or the accelerators."""
    if about["device"] == "cpu":
        what = f"{about['cores']} cores of {about['processor']}"
    else:
        what = f"{about['devices']} x {about['device']}"
    ours = about["versions"]
    return f"{what}, {about['date']}, bcjax {ours['bcjax']} with JAX {ours['jax']}"
