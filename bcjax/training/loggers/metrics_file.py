"""`metrics.jsonl`: the metrics of a run, one JSON object a line."""

import json
from pathlib import Path
from typing import Any

from bcjax.runtime import files
from bcjax.runtime.files import read_json_lines as read
from bcjax.runtime.run_dir import RunDir
from bcjax.training.loggers.logger import Logger

__all__ = ["JsonLines", "read", "rewrite"]


class JsonLines(Logger):
    """Writes one JSON object a line; drops the lines after `step`, which will be written anew."""

    def __init__(self, workdir: Path, step: int):
        path = RunDir(workdir).metrics
        rewrite(path, [line for line in read(path) if line["step"] <= step])
        self._file = path.open("a", buffering=1)  # a killed run loses no whole line

    def scalars(self, step: int, values: dict[str, float]) -> None:
        with files.named_in_faults(self._file.name):
            self._file.write(json.dumps({"step": step} | values) + "\n")

    def close(self) -> None:
        self._file.close()


def rewrite(path: Path, lines: list[dict[str, Any]]) -> None:
    """Writes all lines of a file anew, atomically."""
    files.write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
