"""Compiled programs on disk, ready to run: found there, a function is neither traced nor compiled.

JAX's own cache spares the compiler alone, and needs the traced function to know what it looks for.
Tracing a network takes seconds, so whole executables lie here, each named by a digest of all that
it follows from: what its maker says of it, the shapes of its arguments, the source code of bcjax,
the versions of packages, the processor and the settings of the compiler. Beside them lies what else
is found by tracing, such as the shapes of a network's variables.

That is known of bcjax's own code alone. Once anything else is registered, nothing is read or
written in this process; nor is it on anything but one CPU device.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import math
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import serialize_executable

from bcjax.runtime import environment, files, jax_settings

log = logging.getLogger("bcjax")

T = TypeVar("T")

MOST = 2_000_000_000  # bytes in the folder
_SHA256 = 32  # bytes

_own_code_alone = True


def foreign_code() -> None:
    """Says that functions may now be made of code that is not bcjax's."""
    global _own_code_alone
    _own_code_alone = False


def folder() -> Path:
    """Returns where the programs lie."""
    return files.cache_folder() / "programs"


class CachedProgram:
    """A jitted function whose compiled programs are kept on disk.

    It is called as the jitted function is. Whatever is wrong with the folder, it works without it.

    Attributes:
      jitted: The function, made by `jax.jit`; its own programs are not kept.
    """

    _about: str | None = None

    def __init__(self, function: Callable, about: Any = None, **options: Any):
        """Reads and compiles nothing yet.

        Args:
          function: The function.
          about: All that the function was made from, apart from bcjax's code: numbers, texts,
            networks, ...; None: that is not known, and nothing is kept. Nor is it if something in
            it has no name, such as a lambda, or is not bcjax's.
          **options: Those of `jax.jit`.
        """
        self._function, self._options = function, options
        self.jitted = jax.jit(function, **options)
        self._lock = threading.Lock()
        self._about = _text(about)
        self._programs: dict[Any, Any] = {}

    def compile(self, *arguments: Any) -> Any:
        """Reads or compiles the program for arguments of these shapes, dtypes and shardings.

        Args:
          *arguments: The arguments, as arrays or `jax.ShapeDtypeStruct`s with shardings.

        Returns:
          The program, a `jax.stages.Compiled`; later calls use it.
        """
        if not self._is_kept():
            return self.jitted.lower(*arguments).compile()
        signature = _signature(arguments)
        with self._lock:  # who asks while another thread compiles waits for its program
            if signature not in self._programs:
                self._programs[signature] = self._read_or_compiled(arguments)
        return self._programs[signature]

    def __call__(self, *arguments: Any) -> Any:
        """Calls the function, whose program is read or compiled if it is not there."""
        call = self.compile(*arguments) if self._is_kept() else self.jitted
        return call(*arguments)

    def _is_kept(self) -> bool:
        return self._about is not None and _is_used()

    def _read_or_compiled(self, arguments: Any) -> Any:
        described = [
            str(jax.tree.structure(arguments)),
            *map(_described, jax.tree.leaves(arguments)),
        ]
        path = _path(self._about or "", *described)
        program = _read(path, serialize_executable.deserialize_and_load)
        if program is None:
            # Of its own: what JAX has compiled for `jitted` it may have read from its cache.
            own = jax.jit(functools.partial(self._function), **self._options)
            lowered = own.lower(*arguments)
            with _without_jax_cache() as was_used:
                program = lowered.compile()
            if not was_used():
                _WRITER.submit(
                    _write, path, lambda: serialize_executable.serialize(program), _FIRST_STEP
                )
        return program


def kept(about: Any, trace: Callable[[], T]) -> T:
    """Returns what is found by tracing a function, and keeps it on disk beside the programs.

    Args:
      about: All that it follows from, as of `CachedProgram`.
      trace: Finds it, such as the shapes of a network's variables: something that can be pickled.
    """
    text = _text(about)
    if text is None or not _is_used():
        return trace()
    path = _path("traced", text)
    found = _read(path, lambda kept: kept)
    if found is None:
        found = trace()
        _WRITER.submit(_write, path, lambda: (found,))
    return found


def wait_until_written() -> None:
    """Waits until all that was compiled or found by tracing lies on disk."""
    _WRITER.submit(int).result()


def _is_used() -> bool:
    return (
        _own_code_alone
        and jax.device_count() == 1
        and jax.default_backend() == "cpu"
        and bool(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
        and bool(jax.config.jax_enable_compilation_cache)  # type: ignore[attr-defined]
    )


def _path(*parts: str) -> Path:
    """Returns where lies what was made, here and by this version, from what the parts say."""
    text = "\n".join((environment_digest(), *parts))
    return folder() / hashlib.sha256(text.encode()).hexdigest()


_WRITER = ThreadPoolExecutor(1, "bcjax-programs")
# Serialising takes up to half a second in which no other thread runs Python. So it begins later by
# these seconds, in which a first step is taken.
_FIRST_STEP = 1.0


_THREAD = threading.local()


@contextlib.contextmanager
def _without_jax_cache() -> Iterator[Callable[[], bool]]:
    """Writes nothing to JAX's cache meanwhile; yields what says whether a program came from there.

    Serialised again, such a program has lost its functions (XLA of JAX 0.10: "Function ... not
    found" when it is called).
    """
    from jax._src.config import config_states

    _listen()
    _THREAD.hits = 0
    with config_states["jax_persistent_cache_min_compile_time_secs"](math.inf):
        yield lambda: _THREAD.hits > 0


@functools.cache
def _listen() -> None:
    def heard(event: str, **_: Any) -> None:
        if event == "/jax/compilation_cache/cache_hits":
            _THREAD.hits = getattr(_THREAD, "hits", 0) + 1

    jax.monitoring.register_event_listener(heard)


class _NamelessError(Exception):
    """Something cannot be told to another process."""


def _text(about: Any) -> str | None:
    """Returns the JSON of all that something was made from; None if it is not known."""
    try:
        return None if about is None else json.dumps(_named(about), sort_keys=True)
    except _NamelessError:
        return None


def _named(value: Any) -> Any:
    """Returns what JSON can hold of a value and another process would make the same from.

    Raises:
      _NamelessError: If that is not possible.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _named(each) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [_named(each) for each in value]
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        fields = [field.name for field in dataclasses.fields(value) if field.name not in _LINEN]
        return {"": _named(kind)} | {name: _named(getattr(value, name)) for name in fields}
    name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '<nameless>')}"
    if "<" in name or not name.startswith(_KNOWN):
        raise _NamelessError(repr(value))
    return name


_KNOWN = ("bcjax.", "jax.", "jaxlib.", "flax.", "numpy.", "ml_dtypes.", "builtins.")
_LINEN = ("parent", "name")  # fields of each module, which say where it is


def _signature(arguments: Any) -> Any:
    leaves, tree = jax.tree.flatten(arguments)
    return tree, tuple((np.shape(leaf), leaf.dtype) for leaf in leaves)


def _described(leaf: Any) -> str:
    return f"{np.shape(leaf)} {leaf.dtype} {getattr(leaf, 'sharding', '')}"


@functools.cache  # reading the source takes 20 ms
def environment_digest() -> str:
    """Returns a digest of all outside a function that decides which program is made of it."""
    facts = {
        "code": environment.code_digest("bcjax"),
        "versions": environment.versions(),
        "processor": [environment.processor(), environment.processor_features()],
        "cores": environment.usable_cores(),  # loops are divided among them
        "devices": [str(device) for device in jax.devices()],
        "settings": environment.compiler_settings(),
        "fixed": {name: str(value) for name, value in jax_settings.FIXED.items()},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _read(path: Path, load: Callable[..., Any]) -> Any:
    """Returns what is loaded from the parts in a file; None if there is none that can be used."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[_SHA256:]).digest() != content[:_SHA256]:
            raise ValueError("it is damaged")
        loaded = load(*pickle.loads(content[_SHA256:]))
        os.utime(path)  # the longest unused are deleted first
    except FileNotFoundError:
        return None
    except Exception as error:  # of whatever wrote or reads it
        say_nothing_is_kept(error)
        return None
    return loaded


def _write(path: Path, parts: Callable[[], tuple], after: float = 0.0) -> None:
    """Writes the parts after so many seconds, or at once when the process is about to end."""
    threading.main_thread().join(after)
    try:
        content = pickle.dumps(parts())
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, hashlib.sha256(content).digest() + content)
        shrink(path.parent, MOST)
    except Exception as error:
        say_nothing_is_kept(error)


_SAID: set[Path] = set()  # folders; one sentence about each is enough


def say_nothing_is_kept(error: Exception) -> None:
    """Says why compiled programs cannot be kept, once for a folder."""
    if folder() in _SAID:
        return
    _SAID.add(folder())
    log.warning(
        "Compiled programs cannot be kept in %s (%s): they are compiled anew each time.",
        folder(), getattr(error, "strerror", None) or str(error).partition("\n")[0],
    )  # fmt: skip


def shrink(folder: Path, most: int) -> None:
    """Deletes the longest unused files of a folder until the rest has no more bytes than `most`."""
    there = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process may have deleted it
            about = path.stat()
            there.append((about.st_mtime, about.st_size, path))
    left = sum(size for _, size, _ in there)
    for _, size, path in sorted(there):
        if left <= most:
            break
        with contextlib.suppress(OSError):
            path.unlink()
        left -= size
