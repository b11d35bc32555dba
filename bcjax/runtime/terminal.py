"""What is printed may be read by nobody any more: the program goes on without the reader."""

import contextlib
import errno
import io
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

_log = logging.getLogger(__name__)

# The reader of a pipe has ended (`| head`), or the terminal was closed.
_NOBODY_READS = (errno.EPIPE, errno.EIO)


@contextlib.contextmanager
def outlives_its_reader() -> Iterator[None]:
    """Lets writing to stdout and stderr succeed when nobody reads them any more.

    What is written from then on is dropped. Streams that are no files, such as those of a notebook,
    stay as they are.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _unbreakable(sys.stdout, _File), _unbreakable(sys.stderr, _Silent)
    try:
        yield
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        sys.stdout, sys.stderr = before


class _File(io.FileIO):
    def lost(self) -> None:
        _log.warning("Nobody reads the output any more: bcjax goes on without it.")

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            self.lost()
            return len(data)


class _Silent(_File):
    """Stderr, on which it could not be said that stderr is lost."""

    def lost(self) -> None: ...


def _unbreakable(stream: Any, kind: type[_File]) -> Any:
    """Returns a stream to the same file that outlives its reader."""
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError):  # closed from the start, or no file
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(kind(descriptor, "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
    )
