"""The front door: chooses the command. `python -m bcjax.main`, or `bcjax` once installed.

Nothing heavy is imported here, and a command's module only when that command is asked for, so
`bcjax --help` answers at once and no command pays for another's imports.
"""

import difflib
import importlib
import logging
import sys

COMMANDS = {
    "train": "Train a network (the default command); the same command again resumes.",
    "evaluate": "Evaluate a checkpoint on a split, or follow a running job with --watch.",
    "calibrate": "Fit on val what confidence is worth: temperature, sets, `uncertain`, outliers.",
    "prepare": "Write pictures as a sharded TFDS/ArrayRecord set, checked and split.",
    "explore": "Write a page that shows a data set: counts, samples, colours, doubles, a map.",
    "preview": "Draw what the network is fed, and every augmentation at five magnitudes.",
    "compare": "Set runs beside each other: scores, paired tests, costs, learning curves.",
    "sweep": "Search for better values of any config keys; resumable, on several machines.",
    "ablate": "Train without each of some named parts, and with each alone.",
    "report": "Write what a run came to: a page, Markdown, figures for a paper, a model card.",
    "predict": "Label pictures or folders with a trained network.",
    "explain": "Draw what a network's answers rest on, over the pictures.",
    "import-weights": "Turn published weights, of PyTorch or Keras, into a run's folder.",
    "models": "List the networks: parameters, FLOPs, pictures, paper.",
    "benchmark": "Time each part of training, beside what the device could do.",
}


def usage() -> str:
    lines = ["usage: bcjax [COMMAND] [--flags]", "", "commands:"]
    lines += [f"  {name:<14} {line}" for name, line in COMMANDS.items()]
    lines += ["", "bcjax COMMAND --help shows the flags of one command."]
    return "\n".join(lines)


def main() -> int:
    """Runs the command in `sys.argv` and returns its exit status.

    0: done; 1: a defect of bcjax (with its traceback); 2: a mistake of the user's (one sentence);
    130 or 143: interrupted or terminated, after saving.
    """
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("help", "-h", "--help", "-help", "--helpfull"):
        print(usage())
        return 0
    name = arguments.pop(0) if not arguments[0].startswith("-") else "train"
    if name not in COMMANDS:
        match = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f": did you mean {match[0]!r}?" if match else "; bcjax --help lists the commands."
        print(f"bcjax: There is no command {name!r}{hint}", file=sys.stderr)
        return 2

    # After the help text, so that it costs nothing there.
    from bcjax.cli import flags as command_line
    from bcjax.runtime import memory
    from bcjax.runtime.errors import UserError, disk_is_full

    memory.keep_freed()  # before any thread is started

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    log = logging.getLogger("bcjax")
    log.setLevel(logging.INFO)
    # Orbax and TFDS talk to their developers; where they fail, it is raised, too. So is the first
    # of the many reads or writes that orbax gives up together; Python would print a traceback for
    # each of the others.
    for library in ("absl", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    sys.unraisablehook = lambda ignored: log.debug("Ignored: %s", ignored.exc_value)
    try:
        command = importlib.import_module(f"bcjax.cli.{name.replace('-', '_')}")
        parsed = command_line.parse(command, name, arguments)
        return 0 if parsed is None else command.run(*parsed) or 0
    except UserError as error:
        print(f"bcjax: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        if not disk_is_full(error):
            raise
        print(f"bcjax: The disk is full ({error}): free some space and try again.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bcjax: interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
