"""The process that listens: its socket, slow senders, and an end without a lost request."""

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from bcjax.runtime.errors import UserError

_GRACE = 10.0  # seconds beyond the time-out of a request that the end waits


def listen(host: str, port: int) -> socket.socket:
    """Returns a bound socket, so that a port that is taken is told before a network is loaded.

    Raises:
      UserError: If the port is taken, may not be used, or there is no such host.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"There is no port {port}: choose one from 1024 to 65535, or 0 for any.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()  # else two could be bound to one port; nobody is answered yet
    except (OSError, UnicodeError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{host}:{port} cannot be listened to ({reason}): give another --port or --host."
        ) from error
    return bound


def server(app: FastAPI, timeout: float) -> uvicorn.Server:
    """Returns a server, whose `run(sockets=[listen(...)])` serves until SIGTERM or SIGINT.

    Requests that have begun are answered before it returns.

    Args:
      app: The application.
      timeout: Seconds that a request may take; its head must arrive in that time, too.
    """
    config = uvicorn.Config(
        app,
        http=_with_deadline(timeout),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=int(max(5, timeout)),
        timeout_graceful_shutdown=int(2 * timeout + _GRACE),
    )
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    return _Server(config)


class _Server(uvicorn.Server):
    """Ends with status 0 when it is asked to: uvicorn's own raises the signal again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[override]
        if threading.current_thread() is not threading.main_thread():
            yield  # no other thread can handle signals
            return

        def note(number: int, frame: FrameType | None) -> None:
            self.force_exit = self.should_exit  # asked twice
            self.should_exit = True

        before = {each: signal.signal(each, note) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _with_deadline(seconds: float) -> type[H11Protocol]:
    """Returns uvicorn's protocol, which also ends connections whose head does not arrive in time.

    Without that, whoever sends a byte a minute holds a connection for ever.
    """

    class Protocol(H11Protocol):
        _deadline: Any = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if self.conn.their_state is not h11.IDLE:  # the head is complete
                self._forget()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(seconds, self._end)

        def _forget(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _end(self) -> None:
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.close()

    return Protocol
