"""What the C library does with memory that compiling, or a training step, gives back."""

import ctypes
import sys

# From malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8

_LARGEST, _SMALLEST = 1 << 26, 1 << 12  # of the holes filled, in bytes


def keep_freed() -> None:
    """Keeps large blocks in the process when they are freed, where the C library is glibc.

    By default each goes back to the system at once, and the next step's is fetched anew, page by
    page: on two cores, adding 1 to 75 MB takes 46 ms then, 8 ms otherwise. To be called before
    other threads exist: they would allocate in arenas of their own, which this does not reach.
    """
    if library := _glibc():
        library.mallopt(_ARENA_MAX, 1)
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, -1)


def fill_holes() -> None:
    """Takes the free blocks between those in use out of malloc's lists, for good.

    XLA's compiler leaves tens of thousands, of all sizes. Malloc keeps them sorted, and walks the
    list for each block that a step asks for or frees, while the other threads wait: without this,
    a process that compiled its step runs it slower than one that found it compiled.
    Their pages go back to the system first, so this costs addresses, not memory.
    """
    if not (library := _glibc()):
        return
    library.malloc.restype = library.sbrk.restype = ctypes.c_void_p
    library.malloc.argtypes = (ctypes.c_size_t,)
    library.free.argtypes = (ctypes.c_void_p,)
    library.malloc_trim(0)
    end = library.sbrk(0) - 2 * _SMALLEST  # what is allocated from here on was in no hole
    size = _LARGEST
    while size >= _SMALLEST:
        block = library.malloc(size)
        if not block or block >= end:
            library.free(block)
            size //= 2


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
