"""What a program runs on: the processor, and the packages that its numbers depend on."""

import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

_PACKAGES = ("bcjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def versions() -> dict[str, str]:
    """Returns the versions of the packages that a run's numbers depend on."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def code_digest() -> str:
    """Returns a short digest of bcjax's own source files."""
    digest, package = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def processor() -> str:
    """Returns the name of the host's processor."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int | None:
    """Returns how many of the host's cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count()
