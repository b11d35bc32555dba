"""Processes of our own that apply one function to items, for work that holds Python's lock.

Unlike those of `multiprocessing`, which are started anew on macOS and Windows, they do not run the
user's script a second time: it needs no `if __name__ == "__main__"`, and may be a notebook.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Generic, Self, TypeVar

from bcjax.runtime.errors import UserError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; "
    "from bcjax.runtime import worker_processes; worker_processes.serve()"
)


def possible() -> bool:
    """Returns whether this program's Python can be started again; not inside another program."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


class WorkerProcesses(Generic[Item, Answer]):
    """Processes that each apply a function to one item at a time; threads may share them.

    They end when the block ends, and when this process does, however it ends.
    """

    def __init__(self, function: Callable[[Item], Answer], count: int, mend: str):
        """Starts the processes.

        Args:
          function: A function of a module, which is imported there.
          count: Number of processes.
          mend: What a user can do if one of them is killed, the end of a sentence.
        """
        self._mend = mend
        self._all: list[subprocess.Popen[bytes]] = []
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM.format(path=sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._all.append(process)
            with contextlib.suppress(OSError):  # if it is dead, the first item tells
                _send(function, process.stdin)
            self._idle.put(process)

    def __call__(self, item: Item) -> Answer:
        """Returns the function's answer; waits until a process is free.

        Raises:
          UserError: If the process has ended.
          Exception: What the function raises.
        """
        process = self._idle.get()
        try:
            _send(item, process.stdin)
            raised, answer = pickle.load(process.stdout)  # type: ignore[arg-type]
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise UserError(
                f"A process that helped has ended (status {process.wait()}), as it does where "
                f"memory is short: {self._mend}."
            ) from error
        finally:
            self._idle.put(process)
        if raised:
            raise answer
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._all:
            process.kill()
            process.communicate()


def serve() -> None:
    """Answers to standard output what comes from standard input, until that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told too, and ends this
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    with contextlib.suppress(EOFError):
        function = pickle.load(sys.stdin.buffer)
        while True:
            item = pickle.load(sys.stdin.buffer)
            try:
                answer = False, function(item)
            except Exception as error:
                answer = True, error
            _send(answer, answers)


def _send(thing: object, pipe: IO[bytes] | None) -> None:
    assert pipe is not None
    pickle.dump(thing, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()
