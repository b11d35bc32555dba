"""When programs are compiled: once, for the next run finds them, and in the background."""

import functools
import os
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from bcjax.runtime import memory

_LONG = 2.0  # seconds of compiling, from which on the heap is tidied


def use_cache() -> None:
    """Turns the cache on, in $BCJAX_CACHE/xla or ~/.cache/bcjax/xla.

    A directory that JAX was told otherwise (JAX_COMPILATION_CACHE_DIR) is left as it is.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        root = Path(os.environ.get("BCJAX_CACHE", "~/.cache/bcjax")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(root / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    _tidy_memory()


@functools.cache  # once in a process, however many commands it runs
def _tidy_memory() -> None:
    """Tidies the heap after each long compilation, in whatever thread."""

    def heard(event: str, duration_secs: float, **_: Any) -> None:
        if event.endswith("/backend_compile_duration") and duration_secs > _LONG:
            memory.fill_holes()

    jax.monitoring.register_event_duration_secs_listener(heard)


class Ahead:
    """Compiles programs in other threads, before they are called.

    What `jax.jit` made finds its program when it is called with arrays of those shapes, dtypes and
    shardings.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(thread_name_prefix="bcjax-compile")
        self._compiling: dict[Hashable, Future] = {}

    def compile(self, name: Hashable, jitted: Any, *abstract: Any) -> None:
        """Begins to compile what `jax.jit` made, for abstract arrays."""
        self._compiling[name] = self._pool.submit(lambda: jitted.lower(*abstract).compile())

    def wait(self, name: Hashable) -> None:
        """Returns once that is compiled, at once if nobody asked for it; raises what it raised."""
        if name in self._compiling:
            self._compiling.pop(name).result()
