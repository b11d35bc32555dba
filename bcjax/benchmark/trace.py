"""What the devices do during a few steps, for Perfetto or XProf."""

from pathlib import Path

import jax

from bcjax.benchmark.step import repeated
from bcjax.run import Run

_CALLS = 3


def write(run: Run, folder: Path) -> dict[str, str]:
    """Profiles a few calls of the compiled step.

    Args:
      run: Its state is used up and goes on.
      folder: Where `plugins/profile/<time>/` is written to.

    Returns:
      "perfetto": the file that https://ui.perfetto.dev opens; "xprof": the folder that
      `xprof --logdir=` or TensorBoard's profiler does.
    """
    dispatch = repeated(run)
    dispatch(2)  # compiles, and settles
    with jax.profiler.trace(folder, create_perfetto_trace=True):
        dispatch(_CALLS)
    files = sorted(folder.rglob("perfetto_trace.json.gz"), key=lambda path: path.stat().st_mtime)
    return {"perfetto": str(files[-1]), "xprof": str(folder)}
