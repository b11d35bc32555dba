"""The error for mistakes that a user can mend, and what to say where the file system fails."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from typing import Any

_LONGEST = 80  # characters of a value in a message


class UserError(Exception):
    """A mistake of the user: one plain sentence that names what is wrong and how to mend it.

    The program prints the sentence without a traceback and exits with status 2. Any other
    exception is a defect of bcjax and keeps its traceback.
    """


def shown(value: Any) -> str:
    """Returns a value as a message shows it: as Python writes it, cut short if it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


_AGAIN = "and run the same command again"
# What is wrong, and how it is mended; of what a user can mend. A file that is missing is not among
# them: whoever opens one knows better what to say.
_FAULTS = {
    errno.ENOSPC: ("The disk is full", f"free some space {_AGAIN}"),
    errno.EDQUOT: ("Your share of the disk is used up", f"free some space {_AGAIN}"),
    errno.EFBIG: ("The file is larger than this disk or account allows", f"raise that {_AGAIN}"),
    errno.EROFS: ("The disk is read-only", "give a place that can be written to"),
    errno.EIO: ("The disk has a fault", f"mend it {_AGAIN}"),
    errno.ESTALE: ("The network disk was taken away", f"mount it {_AGAIN}"),
    errno.EACCES: ("There is no permission", f"give another place, or change that {_AGAIN}"),
    errno.EPERM: ("This is not permitted", f"give another place, or change that {_AGAIN}"),
    errno.ENAMETOOLONG: ("The name is too long", "give a shorter one"),
    errno.ENOTDIR: ("A file is where a folder is needed", "move it, or give another place"),
    errno.EISDIR: ("A folder is where a file is needed", "move it, or give another place"),
    errno.EEXIST: ("A file is where a folder is needed", "move it, or give another place"),
    errno.ELOOP: ("Links lead in a circle", "mend them, or give another place"),
}
# How libraries say so which are not written in Python.
_MESSAGES = {os.strerror(code): code for code in _FAULTS} | {
    "Not enough disk space": errno.ENOSPC,  # TFDS
    "database or disk is full": errno.ENOSPC,  # SQLite, as those that follow
    "readonly database": errno.EROFS,
    "disk I/O error": errno.EIO,
}
# A write fails for one of these without a name of the file; any other fault has one.
_OF_WRITES = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE,
}  # fmt: skip


def disk_fault(error: BaseException, where: str | os.PathLike[str] = "") -> str | None:
    """Returns what is wrong with the file system, where, and how to mend that, without a full stop.

    Args:
      error: What was raised.
      where: The file or folder; "": the one that the error names.

    Returns:
      None, if it is no such fault but a defect.
    """
    code, message = getattr(error, "errno", None), str(error)
    names = [getattr(error, "filename2", None), getattr(error, "filename", None)]
    if code is None:
        code = next((code for said, code in _MESSAGES.items() if said in message), None)
    elif not (any(names) or re.search(r"'/.*'", message) or code in _OF_WRITES):
        code = None
    if code not in _FAULTS:
        cause = error.__cause__
        return disk_fault(cause, where) if cause else None
    problem, mend = _FAULTS[code]
    place = os.fspath(where) or next(filter(None, names), "") or message.splitlines()[0]
    return f"{problem} ({place}): {mend}"


@contextlib.contextmanager
def disk_faults_told(where: str | os.PathLike[str] = "", then: str = "") -> Iterator[None]:
    """Lets a fault of the file system be raised as a `UserError`; for a function, or a part of one.

    Args:
      where: As for `disk_fault`.
      then: What the sentence says besides, with the comma or semicolon before it.

    Raises:
      UserError: See `disk_fault`.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not (fault := disk_fault(error, where)):
            raise
        raise UserError(f"{fault}{then}.") from error
