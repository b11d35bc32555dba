"""A small server of one folder of files: HTTPS, compression, and headers that keep pages strict."""

import errno
import gzip
import hashlib
import http.server
import mimetypes
import socket
import ssl
import urllib.parse
from http import HTTPStatus
from pathlib import Path
from typing import Any

from bcjax.runtime.errors import UserError

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".gz": "application/octet-stream",  # the page decompresses it itself
}
_COMPRESSED = (".js", ".html", ".css", ".json", ".webmanifest", ".svg")
_LAST_PORT = 65535
_TIMEOUT = 30  # seconds that a client may be silent


class Server(http.server.ThreadingHTTPServer):
    """Serves the files of a folder, each client in a thread; nothing before `publish`.

    Args:
      host: The address to listen at.
      port: The port; 0: any that is free.
      policy: The Content-Security-Policy of each answer.
      context: What encrypts; None: plain HTTP.

    Raises:
      UserError: If the port is taken or may not be listened at, or there is no such address.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, policy: str, context: ssl.SSLContext | None):
        self.files: dict[str, _File] = {}
        self.policy = policy
        self.context = context
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(_no_port(host, port, error)) from error

    def publish(self, folder: Path) -> None:
        """Reads a folder's files; what is outside cannot be asked for, and nothing is listed."""
        paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
        self.files = {f"/{path.relative_to(folder).as_posix()}": _File(path) for path in paths}

    @property
    def port(self) -> int:
        return self.server_address[1]

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Encrypts in the client's own thread, so that a silent one keeps nobody waiting."""
        request.settimeout(_TIMEOUT)
        if self.context:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: phones that do not trust the certificate yet, or are gone, are no news."""


class _File:
    """A file as it is sent: read once, so that no path of a request reaches the disk."""

    def __init__(self, path: Path):
        self.content = path.read_bytes()
        self.compressed = gzip.compress(self.content, 9) if path.suffix in _COMPRESSED else None
        guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self.type = _TYPES.get(path.suffix, guessed)
        self.tag = f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    server_version, sys_version = "bcjax", ""

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def _answer(self, *, with_content: bool) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        file = self.server.files.get("/index.html" if path == "/" else path)
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        if self.headers.get("If-None-Match") == file.tag:
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", file.tag)
            self.end_headers()
            return
        content = file.content
        self.send_response(HTTPStatus.OK)
        if file.compressed is not None and "gzip" in self.headers.get("Accept-Encoding", ""):
            content = file.compressed
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", file.type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", file.tag)
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def end_headers(self) -> None:
        for name, value in (
            ("Content-Security-Policy", self.server.policy + "; frame-ancestors 'none'"),
            ("Cache-Control", "no-cache"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Permissions-Policy", "camera=(self), microphone=(), geolocation=()"),
            ("Referrer-Policy", "no-referrer"),
            ("Vary", "Accept-Encoding"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *values: object) -> None:
        """Says nothing: who opened which file is nobody's business."""


def _no_port(host: str, port: int, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or error
    code = getattr(error, "errno", None)
    if code == errno.EACCES:
        return f"Port {port} may not be listened at: give one above 1023, such as --port=8443."
    if code == errno.EADDRINUSE:
        other = port + 1 if port < _LAST_PORT else 8443
        return f"Port {port} is taken: end what listens there, or give another, as --port={other}."
    return f"Nothing can listen at {host}, port {port} ({reason}): give another --host or --port."
