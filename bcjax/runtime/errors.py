"""The error for mistakes that a user can mend."""

import errno
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


def disk_is_full(error: Exception) -> bool:
    """Whether a write failed because the disk is full; C++ libraries say so only in the message."""
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
