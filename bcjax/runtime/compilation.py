"""JAX's cache of compiled programs, and compilation in the background."""

import functools
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from bcjax.runtime import environment, files, jax_settings, memory, program_cache
from bcjax.runtime.program_cache import CachedProgram

_LONG = 2.0  # seconds of compilation after which the heap is tidied


def use_cache() -> None:
    """Turns on JAX's cache of compiled programs, in $BCJAX_CACHE/xla or ~/.cache/bcjax/xla.

    A folder that the user set (JAX_COMPILATION_CACHE_DIR) is used instead. Where the folder cannot
    be made, that is said once, and programs are compiled anew each time.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        folder = files.cache_folder() / "xla"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            program_cache.say_nothing_is_kept(error)
        else:
            jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    _tidy_memory()


@functools.cache  # once in a process, however many commands it runs
def _tidy_memory() -> None:
    """Tidies the heap after each long compilation, in whichever thread it runs."""

    def tidy(event: str, duration_secs: float, **_: Any) -> None:
        if event.endswith("/backend_compile_duration") and duration_secs > _LONG:
            memory.fill_holes()

    jax.monitoring.register_event_duration_secs_listener(tidy)


class BackgroundCompiler:
    """Compiles jitted functions in threads of its own, before they are called.

    A later call with arrays of the same shapes, dtypes and shardings uses the compiled program.
    """

    def __init__(self) -> None:
        # The first program that is asked for is needed first: the next may not take its cores.
        at_once = max(1, (environment.usable_cores() or 1) // 2)
        self._pool = ThreadPoolExecutor(at_once, "bcjax-compile")
        self._compiling: dict[Hashable, Future] = {}

    def compile(self, name: Hashable, program: CachedProgram, *abstract: Any) -> None:
        """Begins to compile a function, or to read what was compiled earlier; once for a name.

        Args:
          name: The name to wait for.
          program: The function.
          *abstract: Its arguments, as arrays or `jax.ShapeDtypeStruct`s with shardings.
        """

        @jax_settings.fixed()  # of the thread, which has none of this one's settings
        def work() -> None:
            program.compile(*abstract)

        if name not in self._compiling:
            self._compiling[name] = self._pool.submit(work)

    def wait(self, name: Hashable) -> None:
        """Waits until the function is compiled, if `compile` was called for it.

        Raises:
          Exception: Any error of the compilation.
        """
        if name in self._compiling:
            self._compiling.pop(name).result()

    def wait_for_all(self) -> None:
        """Waits until all is compiled that was asked for, and written to disk.

        Raises:
          Exception: Any error of a compilation.
        """
        for name in tuple(self._compiling):
            self.wait(name)
        program_cache.wait_until_written()

    def give_up(self) -> None:
        """Leaves out what has not been begun: a call compiles it, if one comes yet."""
        kept = {name: future for name, future in self._compiling.items() if not future.cancel()}
        self._compiling = kept
