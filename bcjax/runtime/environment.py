"""What a program runs on: the processor, and the packages that its numbers depend on."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from bcjax.runtime import jax_settings

_PACKAGES = ("bcjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


@functools.cache  # finding them takes 20 ms, and each checkpoint has them
def versions() -> dict[str, str]:
    """Returns the versions of the packages that a run's numbers depend on."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def code_digest(name: str) -> str:
    """Returns a short digest of the source files of an imported module or package."""
    digest, module = hashlib.sha256(), sys.modules[name]
    for folder in map(Path, getattr(module, "__path__", ())):
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    if not hasattr(module, "__path__") and module.__file__:
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:12]


# The instructions of a processor that XLA's compiler chooses from, on x86 and on ARM.
_VECTOR_INSTRUCTIONS = re.compile(r"(sse|ssse|avx|fma|f16c|amx|asimd|sve|bf16|i8mm)\w*")


def processor() -> str:
    """Returns the name of the host's processor."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def processor_features() -> list[str]:
    """Returns the vector instructions of the host's processor; [] where the system hides them."""
    flags = _cpuinfo("flags") or _cpuinfo("Features")
    return sorted(flag for flag in flags.split() if _VECTOR_INSTRUCTIONS.fullmatch(flag))


def _cpuinfo(key: str) -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def compiler_settings() -> dict[str, Any]:
    """Returns what a user can set that changes which program XLA makes of the same code.

    Those are the variables of the environment that XLA and JAX read, apart from settings that bcjax
    fixes.
    """
    names = ("XLA_", "JAX_", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE", "TF_CUDNN_DETERMINISTIC")
    fixed = [name.upper() for name in jax_settings.FIXED]
    read = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(names) and name not in fixed
    }
    return dict(sorted(read.items())) | {
        # What an earlier version took from the environment.
        "x64": jax_settings.FIXED["jax_enable_x64"],
        "matmul_precision": jax_settings.FIXED["jax_default_matmul_precision"],
        "random_numbers": jax_settings.FIXED["jax_default_prng_impl"],
    }


def usable_cores() -> int | None:
    """Returns how many of the host's cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count()


def hardware(device: str) -> str:
    """Returns the name of a device as people know it: "2 cores of AMD EPYC" for JAX's "cpu"."""
    return f"{usable_cores()} cores of {processor()}" if device == "cpu" else device
