"""JAX's persistent compilation cache: the second run of a program does not compile it."""

import os
from pathlib import Path

import jax


def use_cache() -> None:
    """Turns the cache on, in $BCJAX_CACHE/xla or ~/.cache/bcjax/xla.

    A directory that JAX was told otherwise (JAX_COMPILATION_CACHE_DIR) is left as it is.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        root = Path(os.environ.get("BCJAX_CACHE", "~/.cache/bcjax")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(root / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
