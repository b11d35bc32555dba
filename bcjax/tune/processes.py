"""A command that is run several times at once on this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from bcjax.runtime.signals import Interrupts

_POLL_SECONDS = 0.1


def run(count: int, arguments: Sequence[str]) -> int:
    """Runs `bcjax ARGUMENTS` in `count` processes and waits for all.

    A signal to this process is passed on, once: each of them then saves and stops.

    Returns:
      The signal's exit status, else the first that is not 0, else 0.
    """
    # On a GPU the first process would take nearly all of its memory.
    share = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / count:.3f}"} | os.environ
    with Interrupts() as interrupts:
        command = [sys.executable, "-m", "bcjax.main", *arguments]
        # In sessions of their own, or the terminal's Ctrl-C would come twice.
        started = [
            subprocess.Popen(command, env=share, start_new_session=True) for _ in range(count)
        ]
        passed_on = False
        while any(process.poll() is None for process in started):
            if interrupts.received and not passed_on:
                for process in started:
                    process.send_signal(interrupts.received)
                passed_on = True
            time.sleep(_POLL_SECONDS)
    statuses = [process.returncode for process in started]
    return next((status for status in statuses if status), 0)
