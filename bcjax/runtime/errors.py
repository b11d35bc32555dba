"""What is the user's to mend."""

import errno


class UserError(Exception):
    """A mistake of the user's: one plain sentence that names the thing and the mend.

    `main` prints the sentence without a traceback and exits with status 2. Everything else
    that is raised is a defect of bcjax and keeps its traceback.
    """


def disk_is_full(error: Exception) -> bool:
    """Whether a write failed for want of space; writers in C++ say so in their message alone."""
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
