"""What stays of each request: its id, a line of JSON in the log, and its part in the metrics.

No picture, name of a file, token or query is written to the log.
"""

import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bcjax.serve.metrics import Metrics

log = logging.getLogger("bcjax.requests")

_OWN_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_LONGEST = 200  # characters of a path in the log
_BROKEN = b"The service has failed at this request: tell its operator the request_id."


def request_id(scope: Scope) -> str:
    """Returns the id of a request: the client's X-Request-ID, or one that was made."""
    state = scope.setdefault("state", {})
    if "request_id" not in state:
        given = Headers(scope=scope).get("x-request-id", "")
        state["request_id"] = given if _OWN_ID.fullmatch(given) else uuid.uuid4().hex
    return str(state["request_id"])


class RequestRecords:
    """Gives each request its id, and writes how it ended."""

    def __init__(self, app: ASGIApp, metrics: Metrics, write: Callable[[str], None] | None = None):
        """Wraps an application.

        Args:
          app: The application.
          metrics: Where requests are counted.
          write: Takes each line of the log; None: the logger "bcjax.requests".
        """
        self._app, self._metrics = app, metrics
        self._write = write or log.info

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        identity = request_id(scope)

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", identity.encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            logging.getLogger("bcjax").exception("Request %s failed.", identity)
            if status:
                raise
            body = json.dumps({"error": _BROKEN.decode(), "request_id": identity}).encode()
            headers = [(b"content-type", b"application/json")]
            await noted({"type": "http.response.start", "status": 500, "headers": headers})
            await noted({"type": "http.response.body", "body": body})
        finally:
            self._record(scope, status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")  # few, whatever clients ask for
        self._metrics.count_request(route, status, seconds)
        client = scope.get("client")
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id(scope),
            "client": client[0] if client else None,
            "method": scope["method"][:_LONGEST],
            "path": scope["path"][:_LONGEST],
            "status": status,
            "ms": round(1000 * seconds, 2),
        }
        line |= scope["state"].get("noted", {})
        self._write(json.dumps(line))


def note(scope: Scope, **figures: Any) -> None:
    """Adds to the line of a request, such as how many pictures it held."""
    scope["state"].setdefault("noted", {}).update(figures)
