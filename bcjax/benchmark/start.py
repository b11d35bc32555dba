"""How long a person waits for the first step: a training command of its own, cold and warm."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bcjax.runtime.errors import UserError

_FIRST_STEP = re.compile(r"First step after ([\d.]+) s")


def measure(arguments: Sequence[str]) -> dict[str, Any]:
    """Starts `bcjax train` twice: with no compiled program in the cache, then with all of them.

    To be called before this process takes hold of an accelerator, for it would leave too little
    of its memory to another; the pictures are prepared already.

    Args:
      arguments: The `--config` flags of the command.

    Returns:
      {"cold": ..., "warm": ...}, of each "seconds" from the start of the process to the end of its
      first step, and what they went into: "import_s" (Python and the libraries), "build_s" (the
      devices, the pictures' index, network and state, until the run is described on the terminal),
      "first_step_s" (decoding, compiling, the step).

    Raises:
      UserError: If the command is refused.
    """
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "xla"
        return {name: _once(arguments, cache, Path(folder) / name) for name in ("cold", "warm")}


def _once(arguments: Sequence[str], cache: Path, workdir: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bcjax.main", "train", *arguments, f"--workdir={workdir}"]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    # In a file, for a pipe that nobody reads would stop the command once it is full.
    with open(workdir.with_suffix(".err"), "w+") as errors:
        began = time.perf_counter()
        with subprocess.Popen(
            [*command, "--config.track.to=()"],
            env=environment, stdout=subprocess.PIPE, stderr=errors, text=True,
        ) as process:  # fmt: skip
            moments = []
            try:
                for line in process.stdout or ():
                    moments.append(time.perf_counter() - began)
                    if found := _FIRST_STEP.search(line):
                        break
                else:
                    found = None
            finally:
                process.terminate()  # it saves and stops
                process.communicate()
        errors.seek(0)
        if found is None:
            said = (errors.read().strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"bcjax train did not come to its first step: {said}")
    import_s = moments[-1] - float(found[1])
    return {
        "seconds": moments[-1],
        "import_s": import_s,
        "build_s": moments[0] - import_s,
        "first_step_s": moments[-1] - moments[0],
    }
