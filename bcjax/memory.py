"""What the C library does with memory that a training step gives back."""

import ctypes
import sys

# From malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_freed() -> None:
    """Keeps large blocks in the process when they are freed, where the C library is glibc.

    By default each goes back to the system at once, and the next step's is fetched anew, page by
    page: on two cores, adding 1 to 75 MB takes 46 ms then, 8 ms otherwise. To be called before
    other threads exist: they would allocate in arenas of their own, which this does not reach.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_ARENA_MAX, 1)
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, -1)
