"""How the C library treats the memory that a compilation or a training step frees."""

import ctypes
import sys

# From malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8

_LARGEST, _SMALLEST = 1 << 26, 1 << 12  # blocks that fill holes, in bytes


def keep_freed() -> None:
    """Keeps large blocks in the process when they are freed. Does nothing without glibc.

    By default, freed blocks go back to the system at once and the next step fetches new ones page
    by page: on two cores, adding 1 to 75 MB takes 46 ms that way, and 8 ms otherwise. Call this
    before other threads exist, because they would allocate in arenas of their own that it does not
    reach.
    """
    if library := _glibc():
        library.mallopt(_ARENA_MAX, 1)
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, -1)


def fill_holes() -> None:
    """Takes the free blocks between used ones out of malloc's lists for good.

    XLA's compiler leaves tens of thousands of free blocks of all sizes. Malloc keeps them sorted
    and walks the list for each block that a step allocates or frees, while other threads wait.
    Without this function, a process that compiled its step runs it slower than a process that read
    the compiled step from the cache. The pages of the blocks go back to the system first, so this
    costs addresses but no memory.
    """
    if not (library := _glibc()):
        return
    library.malloc.restype = library.sbrk.restype = ctypes.c_void_p
    library.malloc.argtypes = (ctypes.c_size_t,)
    library.free.argtypes = (ctypes.c_void_p,)
    library.malloc_trim(0)
    end = library.sbrk(0) - 2 * _SMALLEST  # a block above this was in no hole
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
