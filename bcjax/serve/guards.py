"""What each request passes before it is read: its token, and bounds of its body."""

import asyncio
import hmac
import json
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bcjax.serve.refusals import Refused
from bcjax.serve.request_records import request_id
from bcjax.serve.settings import Settings

_DRAINED = 4  # times the largest body that is read and dropped, so that a sender reads the answer
_DRAIN_SECONDS = 2.0


async def refuse(scope: Scope, send: Send, refused: Refused, *, close: bool = False) -> None:
    """Sends a refusal as an `ErrorAnswer`.

    Args:
      scope: The request's.
      send: Its.
      refused: Why.
      close: Whether the connection ends then.
    """
    body = json.dumps({"error": refused.message, "request_id": request_id(scope)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), value.encode()) for name, value in extra(refused).items()]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def extra(refused: Refused) -> dict[str, str]:
    """Returns the headers of a refusal."""
    headers = {}
    if refused.retry_after is not None:
        headers["Retry-After"] = str(refused.retry_after)
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


class Token:
    """Refuses whoever does not send the token, but for some paths."""

    def __init__(self, app: ASGIApp, token: str, opened: Collection[str]):
        self._app, self._token, self._opened = app, token.encode(), frozenset(opened)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._token or scope["path"] in self._opened:
            await self._app(scope, receive, send)
            return
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        if right and scheme.lower() == "bearer":
            await self._app(scope, receive, send)
        else:
            told = "This service asks for a token: send the header Authorization: Bearer TOKEN."
            await refuse(scope, send, Refused(401, told))


class BodyLimits:
    """Bounds the body of each request in bytes and time, and the bytes of all bodies together."""

    def __init__(self, app: ASGIApp, settings: Settings):
        self._app, self._settings = app, settings
        self._held = 0  # bytes, of all requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(self, receive)
        try:
            length = Headers(scope=scope).get("content-length", "")
            if length.isdigit() and int(length) > self._settings.max_body:
                await body.drain()
                await refuse(scope, send, self._too_large(), close=True)
            else:
                await self._app(scope, body.receive, send)
        finally:
            self._held -= body.held

    def _too_large(self) -> Refused:
        most = self._settings.max_body
        return Refused(
            413,
            f"The request is larger than {most:,} bytes: send fewer or smaller pictures at a time.",
        )


class _Body:
    """The body of one request as it arrives."""

    def __init__(self, limits: BodyLimits, receive: Receive):
        self._limits, self._receive = limits, receive
        self._settings = limits._settings
        self._until = asyncio.get_running_loop().time() + self._settings.timeout
        self._whole = False
        self.held = 0

    async def receive(self) -> Message:
        """Returns the next part.

        Raises:
          Refused: If it is too large, too slow, or there is too much of all.
        """
        if self._whole:  # what follows is that the client has gone
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as error:
            self._whole = True
            told = f"The request did not arrive within {self._settings.timeout:g} s: send it again."
            raise Refused(408, told) from error
        self._whole = not message.get("more_body", False)
        size = len(message.get("body", b""))
        self.held += size
        self._limits._held += size
        if self.held > self._settings.max_body:
            await self.drain()
            raise self._limits._too_large()
        if self._limits._held > self._settings.bytes_in_flight:
            await self.drain()
            raise Refused(429, "Too much is being sent at once: send it again later.", 1)
        return message

    async def drain(self) -> None:
        """Reads the rest and drops it, within bounds: else a sender may never read the answer."""
        left = _DRAINED * self._settings.max_body
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self._whole and left > 0:
                    message = await self._receive()
                    self._whole = not message.get("more_body", False)
                    left -= len(message.get("body", b""))
        except TimeoutError:
            pass
        self._whole = True
