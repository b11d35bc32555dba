"""The entry point of the program: `python -m bcjax.main`, or `bcjax` once installed.

Nothing heavy is imported here, and the module of a command is imported only when that command runs,
so `bcjax --help` prints at once and no command waits for the imports of another.
"""

import difflib
import gc
import importlib
import logging
import sys
import threading
from collections.abc import Callable
from importlib import metadata
from typing import Any

from bcjax import __version__

COMMANDS = {
    "train": "Train a network (the default command); the same command again resumes.",
    "evaluate": "Evaluate a checkpoint on a split, or follow a running job with --watch.",
    "calibrate": "Fit a temperature, conformal sets, abstention and outlier thresholds on val.",
    "prepare": "Write pictures as a sharded TFDS/ArrayRecord set, checked and split.",
    "explore": "Write a page that shows a data set: counts, samples, colours, duplicates, a map.",
    "preview": "Draw what the network sees, and every augmentation at five magnitudes.",
    "compare": "Compare runs: scores, paired tests, costs, learning curves.",
    "sweep": "Search for better values of any config keys; resumable, on several machines.",
    "ablate": "Train without each of some named parts, and with each alone.",
    "report": "Write the report of a run: a page, Markdown, figures for a paper, a model card.",
    "predict": "Label pictures or folders with a trained network.",
    "explain": "Draw which parts of a picture a network's answer depends on.",
    "export": "Write a trained network for other runtimes, each file checked there.",
    "serve": "Answer pictures over HTTP with trained runs.",
    "app": "Serve a trained network as an app for telephones, on the local network.",
    "import-weights": "Turn published weights of PyTorch or Keras into the folder of a run.",
    "configs": "List the configs that come with bcjax, which --config takes by name.",
    "models": "List the networks: parameters, FLOPs, input size, paper.",
    "cache": "Show what is kept to save time, and how large it is, or delete it.",
    "benchmark": "Time each part of training and compare it with what the device can do.",
}


def usage() -> str:
    lines = ["usage: bcjax [COMMAND] [--flags]", "", "commands:"]
    lines += [f"  {name:<14} {line}" for name, line in COMMANDS.items()]
    lines += ["", "bcjax COMMAND --help shows the flags of one command."]
    lines += ["bcjax --version shows the versions of bcjax, JAX and Python."]
    return "\n".join(lines)


def version() -> str:
    """Returns the version of bcjax, and those that its results depend on most."""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"bcjax {__version__}, JAX {metadata.version('jax')}, Python {python}"


def main() -> int:
    """Runs the command in `sys.argv` and returns its exit status.

    The status is 0 on success, 1 for a defect of bcjax (with a traceback) and for a file of
    `export` that answers otherwise than the network, 2 for a mistake of the
    user (with one sentence), 3 where `evaluate --watch` has seen a run stop before its end, and
    129, 130 or 143 for a run that has saved its state because its terminal was closed or it was
    interrupted or terminated.
    """
    from bcjax.runtime import terminal

    with terminal.outlives_its_reader():
        return _run(sys.argv[1:])


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in ("help", "-h", "--help", "-help", "--helpfull"):
        print(usage())
        return 0
    if arguments[0] == "version" or "--version" in arguments:
        print(version())
        return 0
    name = arguments.pop(0) if not arguments[0].startswith("-") else "train"
    if name not in COMMANDS:
        match = difflib.get_close_matches(name, [*COMMANDS, "help", "version"], 1)
        hint = f": did you mean {match[0]!r}?" if match else "; bcjax --help lists the commands."
        print(f"bcjax: There is no command {name!r}{hint}", file=sys.stderr)
        return 2

    # Imported here so that the help text does not wait for it.
    from bcjax.cli import flags
    from bcjax.runtime import memory
    from bcjax.runtime.errors import UserError, disk_faults_told

    memory.keep_freed()  # before any thread is started
    # Imports and traces make objects by the hundred thousand, and nearly all of them stay. Looking
    # through them again and again took a third of the time of a short command.
    gc.set_threshold(100_000, 50, 100)

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    log = logging.getLogger("bcjax")
    log.setLevel(logging.INFO)
    # Orbax and TFDS log for their own developers; a failure of theirs is raised as well. When many
    # of orbax's reads or writes fail together, the first failure is raised, and Python would print
    # a traceback for each of the others. Matplotlib warns where its cache cannot be written.
    for library in ("absl", "asyncio", "matplotlib"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    sys.unraisablehook = lambda ignored: log.debug("Ignored: %s", ignored.exc_value)
    threading.excepthook = _quiet_about_disks(threading.excepthook)
    try:
        with disk_faults_told():
            command = importlib.import_module(f"bcjax.cli.{name.replace('-', '_')}")
            parsed = flags.parse(command, name, arguments)
            return 0 if parsed is None else command.run(parsed) or 0
    except UserError as error:
        print(f"bcjax: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bcjax: interrupted.", file=sys.stderr)
        return 130


def _quiet_about_disks(before: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns a hook for threads of libraries: a disk's fault there is raised here as well."""
    from bcjax.runtime.errors import disk_fault

    return lambda ended: None if disk_fault(ended.exc_value) else before(ended)


if __name__ == "__main__":
    sys.exit(main())
