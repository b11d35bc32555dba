"""The other processes of a job: they must come, run the same, see one folder, and stay.

If a process is lost, JAX itself aborts all others with a C++ stack that names nobody. Here each
process gives signs of life in the key-value store of the job's coordinator (process 0), and ends
with a sentence when another one has given none for too long. What this needs of JAX is private to
JAX, and stands in this file alone; without it, JAX does as before.
"""

import atexit
import contextlib
import ctypes
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
from jax._src import distributed

from bcjax.runtime.errors import UserError

_BEATS = "bcjax/beats"
_COUNTS = "bcjax/counts"
_BEATS_IN_TIME = 6  # beats of a process until it is given up
_SAID_EVERY_SECONDS = 10
_SEEN_WITHIN_SECONDS = 5  # by which a file of another host shows, also on NFS
_FOREVER_MS = 7 * 24 * 3600 * 1000  # whoever waits is ended if a process is lost

_exchanges = 0  # how many there have been: all processes do the same ones, in the same order
_status = 0  # the exit status of this process, if it must not wait for the others at its end
_lingers = 0.0  # the seconds that process 0 stays nevertheless


def count() -> int:
    """Returns the number of processes of the job; unlike JAX's, it wakes no device."""
    return distributed.global_state.num_processes if jax.distributed.is_initialized() else 1


# To come.


def join(arguments: Mapping[str, Any], *, heartbeat_seconds: int, wait_seconds: int) -> None:
    """Joins the other processes of the job, and says every ten seconds for whom it waits.

    Args:
      arguments: What `jax.distributed.initialize` needs to know; nothing where it finds out itself.
      heartbeat_seconds: See `watched`.
      wait_seconds: The time after which it gives up.

    Raises:
      UserError: If the others do not come, or cannot be reached.
    """
    atexit.register(_leave)  # after JAX's own, and so called before it
    waiting = _Waiting(wait_seconds)
    waiting.start()
    try:
        with _failures_reach_python():
            jax.distributed.initialize(
                **arguments,
                initialization_timeout=wait_seconds,
                # Ours comes first, for it says more.
                heartbeat_timeout_seconds=3 * heartbeat_seconds,
            )
    except RuntimeError as error:
        _end_without_others(2)
        if not waiting.gave_up():
            where = arguments.get("coordinator_address") or "the environment's coordinator"
            raise UserError(f"This process could not join the job at {where}: {error}.") from error
        raise UserError(
            f"{waiting.sentence()} in vain: start the same command there, or raise "
            "config.mesh.wait_seconds."
        ) from error
    finally:
        waiting.over.set()


class _Waiting(threading.Thread):
    """Says for whom this process waits."""

    def __init__(self, seconds: int):
        super().__init__(daemon=True)
        self.over = threading.Event()
        self._seconds, self._began = seconds, time.monotonic()

    def run(self) -> None:
        while not self.over.wait(_SAID_EVERY_SECONDS):
            print(f"{self.sentence()}.", file=sys.stderr, flush=True)

    def gave_up(self) -> bool:
        return time.monotonic() - self._began >= self._seconds

    def sentence(self) -> str:
        """Returns how long this process has waited for whom, without a full stop."""
        job = distributed.global_state  # JAX has found out the addresses by now
        others = [i for i in range(job.num_processes) if i != job.process_id]
        if job.process_id and not _answers(job.coordinator_address):
            others = [0]
        whom = f"process {others[0]}" if len(others) == 1 else f"one of processes {_list(others)}"
        seconds = round(time.monotonic() - self._began)
        return (
            f"Process {job.process_id} of {job.num_processes} has waited {seconds} s for {whom} "
            f"at {job.coordinator_address}"
        )


def _answers(address: str | None) -> bool:
    host, _, port = (address or "").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except (OSError, ValueError):
        return False
    return True


def _list(processes: list[int]) -> str:
    return ", ".join(map(str, processes))


@contextlib.contextmanager
def _failures_reach_python() -> Iterator[None]:
    """Lets a connection that fails raise an error, or call `_connection_failed`, and not abort.

    The callback is one that JAX's client takes and `jax.distributed` does not pass on. In JAX 0.10
    its argument cannot be converted, and a C++ exception is thrown instead of the call. While the
    client connects, that becomes a RuntimeError; later, in a thread of the client's own, it ends
    the process by the terminate handler, which is set here for that reason.
    """
    library: Any = getattr(distributed, "_jax", None)
    make = getattr(library, "get_distributed_runtime_client", None)
    _set_terminate_handler()
    if make is None:
        yield
        return
    library.get_distributed_runtime_client = lambda *positional, **named: make(
        *positional, **named, missed_heartbeat_callback=lambda status: _connection_failed()
    )
    try:
        yield
    finally:
        library.get_distributed_runtime_client = make


_Handler = ctypes.CFUNCTYPE(None)
_handlers: list[Any] = []  # ours, and the one before, which must live as long as the process


def _set_terminate_handler() -> None:
    """Lets `_connection_failed` be called before a C++ exception in another thread ends this."""
    if _handlers:
        return

    @_Handler
    def terminated() -> None:
        _connection_failed()
        before()  # it was another exception

    with contextlib.suppress(OSError, AttributeError):
        set_terminate = ctypes.CDLL("libstdc++.so.6")._ZSt13set_terminatePFvvE
        set_terminate.restype = _Handler
        before = set_terminate(terminated)
        _handlers.extend((terminated, before))


def _connection_failed() -> None:
    """Ends this process if the coordinator is gone, or says that another process is."""
    if _status:  # it ends anyhow
        os._exit(_status)
    if _watch is not None and not _watch.all_is_well():
        _watch.coordinator_failed()


# To run the same, and to see one folder.


def exchange(text: str) -> list[str]:
    """Gives a text to all processes of the job, and returns the text of each."""
    global _exchanges
    if count() == 1:
        return [text]
    _exchanges += 1
    job, prefix = distributed.global_state, f"bcjax/exchange/{_exchanges}"
    client: Any = job.client
    client.key_value_set(f"{prefix}/{job.process_id}", text)
    texts = [
        client.blocking_key_value_get(f"{prefix}/{i}", _FOREVER_MS)
        for i in range(job.num_processes)
    ]
    client.wait_at_barrier(f"{prefix}/read", _FOREVER_MS)  # so that process 0 may end now
    return texts


def _check_count() -> None:
    """Checks that this process expects as many as process 0, before it waits for one too many."""
    job = distributed.global_state
    client: Any = job.client
    client.key_value_set(f"{_COUNTS}/{job.process_id}", str(job.num_processes), True)
    expected = client.blocking_key_value_get(f"{_COUNTS}/0", _FOREVER_MS)
    if int(expected) != job.num_processes:
        raise UserError(
            f"Process {job.process_id} was told of {job.num_processes} processes, process 0 of "
            f"{expected}: give all of them the same config.mesh.processes or JAX_NUM_PROCESSES."
        )


def compare(facts: Mapping[str, object]) -> None:
    """Checks that something is the same in all processes of the job.

    Args:
      facts: What must be the same, by what it is called in a sentence.

    Raises:
      UserError: In all processes, naming what differs, and in which of them.
    """
    if count() == 1:
        return
    pages = [json.loads(page) for page in exchange(json.dumps(dict(facts), default=str))]
    different = []
    for name in {name: None for page in pages for name in page}:
        values: dict[str, list[int]] = {}
        for i, page in enumerate(pages):
            values.setdefault(json.dumps(page.get(name)), []).append(i)
        if len(values) > 1:
            told = ", ".join(f"{v} in {_processes(who)}" for v, who in values.items())
            different.append(f"{name} ({told})")
    if different:
        _end_without_others(2)
        raise UserError(
            f"The processes of this job differ in {'; '.join(different)}: give all of them the "
            "same."
        )


def _processes(who: list[int]) -> str:
    return f"process {who[0]}" if len(who) == 1 else f"processes {_list(who)}"


def check_shared(folder: Path) -> None:
    """Checks that all processes of the job see the same folder; nothing is left there.

    Raises:
      UserError: In all processes, naming those that do not see what process 0 writes.
    """
    if count() == 1:
        return
    lead = distributed.global_state.process_id == 0
    token = folder / f".seen-by-all-{uuid.uuid4().hex}"
    made = [path for path in (folder, *folder.parents) if lead and not path.exists()]
    try:
        if lead:
            folder.mkdir(parents=True, exist_ok=True)
            token.touch()
        first, *_ = exchange(token.name)
        place = f"{socket.gethostname()}:{folder.absolute()}"
        answers = exchange("" if _appears(folder / first) else place)
    finally:
        token.unlink(missing_ok=True)
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
    if blind := {i: answer for i, answer in enumerate(answers) if answer}:
        _end_without_others(2)
        raise UserError(
            f"{_processes(list(blind)).capitalize()} of this job ({', '.join(blind.values())}) "
            "cannot see what process 0 writes to its workdir: give a --workdir on a disk that all "
            "hosts share."
        )


def _appears(path: Path) -> bool:
    """Whether a file of another host is there, or comes."""
    until = time.monotonic() + _SEEN_WITHIN_SECONDS
    while not path.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


# To stay.


@contextlib.contextmanager
def watched(seconds: int) -> Iterator[None]:
    """Ends this process when another one of the job is lost, or has ended with an error.

    It ends with a sentence on stderr, and exit status 1, or the other's if that one said why: this
    process may be in the middle of an operation that waits for the other one for ever.

    Args:
      seconds: The time without a sign of life after which a process is lost.
    """
    global _watch
    if count() == 1:
        yield
        return
    watch = _watch = _Watch(seconds)
    watch.start()
    try:
        _check_count()
        yield
    except BaseException as error:
        if isinstance(error, jax.errors.JaxRuntimeError | ValueError):
            # An operation over all processes fails at once if one is lost; soon it will show.
            watch.join(seconds + 2 * watch.interval)
        if not _status:  # else all of them have failed alike
            status = {UserError: 2, KeyboardInterrupt: 130}.get(type(error), 1)
            watch.say("failed", status, str(error).partition("\n")[0] or type(error).__name__)
            _end_without_others(status, seconds=2 * watch.interval)
        raise
    else:
        watch.say("done")
        _end_without_others(0)
    finally:
        _watch = None
        watch.over.set()


class _Watch(threading.Thread):
    """Gives signs of life, and looks for those of the others.

    Attributes:
      interval: Seconds between two of them.
      over: Set when nobody is watched any more.
    """

    def __init__(self, seconds: int):
        super().__init__(daemon=True)
        job = distributed.global_state
        self.interval = seconds / _BEATS_IN_TIME
        self.over = threading.Event()
        self._client: Any = job.client
        self._me, self._seconds, self._beat = job.process_id, seconds, 0
        self._last = {i: ("", time.monotonic()) for i in range(job.num_processes)}
        self._hosts: dict[int, str] = {}
        self._saying, self._said_last = threading.Lock(), False

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self.say("lives")
                pages = self._client.key_value_dir_get(_BEATS)
            except Exception:
                if not self.over.is_set():
                    self.coordinator_failed()
                return
            self._look(pages, time.monotonic())
            self.over.wait(self.interval)

    def say(self, state: str, status: int = 0, why: str = "") -> None:
        """Tells the others how this process is; that it has ended stays the last that it says."""
        with self._saying:
            if self._said_last:
                return
            self._said_last = state != "lives"
            self._beat += 1
            page = json.dumps([state, status, why, socket.gethostname(), self._beat])
            with contextlib.suppress(Exception) if self._said_last else contextlib.nullcontext():
                self._client.key_value_set(f"{_BEATS}/{self._me}", page, allow_overwrite=True)

    def _look(self, pages: list[tuple[str, str]], now: float) -> None:
        for key, page in pages:
            process = int(key.rpartition("/")[2])
            state, status, why, self._hosts[process], _ = json.loads(page)
            if process == self._me:
                continue
            if state == "failed":
                self._end(f"{self._named(process)} ended: {why}", status)
            if page != self._last[process][0] or state == "done":
                self._last[process] = (page, now)
        for process, (_, seen) in self._last.items():
            if process != self._me and now - seen > self._seconds:
                self._lost(process)

    def all_is_well(self) -> bool:
        """Whether the coordinator is there, and no process is silent.

        The client is not asked: once its connection has failed, a call may not return.
        """
        time.sleep(1)  # a process that is just ending may still answer
        if self._me and not _answers(distributed.global_state.coordinator_address):
            return False
        others = (seen for i, (_, seen) in self._last.items() if i != self._me)
        return time.monotonic() - min(others) < 2 * self.interval

    def coordinator_failed(self) -> None:
        """Ends this process: the coordinator is gone, or has given up the most silent process."""
        others = [i for i in self._last if i != self._me]
        silent = min(others, key=lambda i: self._last[i][1])
        self._lost(silent if self._me == 0 else 0)

    def _lost(self, process: int) -> NoReturn:
        self._end(
            f"{self._named(process)} of this job was lost. The same command, on all hosts, goes on "
            "from the last checkpoint.",
            1,
        )

    def _named(self, process: int) -> str:
        host = self._hosts.get(process)
        return f"Process {process}" + (f" (host {host})" if host else "")

    def _end(self, sentence: str, status: int) -> NoReturn:
        sys.stdout.flush()
        print(f"bcjax: {sentence}", file=sys.stderr, flush=True)
        os._exit(status)


_watch: _Watch | None = None


def _end_without_others(status: int, seconds: float = 1) -> None:
    """Sets how this process will end.

    Args:
      status: The exit status; 0: it will wait for the others, as usual.
      seconds: How long process 0 stays, so that the others can read why it ended, or end too.
    """
    global _status, _lingers
    _status, _lingers = status, seconds
    if _watch is not None:
        _watch.over.set()


def _leave() -> None:
    """Ends this process, if it failed, without waiting for others, as JAX would at its exit."""
    if not _status:
        return
    if jax.distributed.is_initialized() and distributed.global_state.process_id == 0:
        time.sleep(_lingers)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_status)
