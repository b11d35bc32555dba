"""Writes predictions and is killed at every file that it puts in place; then goes on.

Run by test_prediction_file.py in a process of its own, which forks: the arguments are a folder of
pictures, a folder to write to, and the ending of the files. It prints how many kills there were.
"""

import os
import signal
import sys
from pathlib import Path

import pyarrow
from many_pictures import Means

from bcjax.evaluation import prediction_file
from bcjax.evaluation.picture_stream import open_pictures

pictures, folder, ending = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
prediction_file._PART = 4
put = os.replace
pyarrow.array([""])  # imports pandas for itself: here once, not in each child


def write(out: Path) -> None:
    found = open_pictures([pictures])
    prediction_file.write(Means(pictures), found, out, batch_size=2)


def killed(out: Path, at: int, before: bool) -> bool:
    """Whether a writer put so many files in place that it was killed at the one of this number."""
    if not (child := os.fork()):
        count = 0

        def replace(*names):
            nonlocal count
            count += 1
            if count == at and before:
                os.kill(os.getpid(), signal.SIGKILL)
            put(*names)
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replace
        write(out)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def wrote(out: Path) -> int:
    """How a writer ended that nobody killed."""
    if not (child := os.fork()):
        try:
            write(out)
        except prediction_file.UserError as error:
            os._exit(2 if "finished" in str(error) else 1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


assert wrote(folder / f"whole{ending}") == 0
kills = 0
for before in (True, False):
    at = 1
    while killed(out := folder / f"{at}-{before}{ending}", at, before):
        kills += 1
        finished = out.exists()
        assert wrote(out) == (2 if finished else 0), out
        at += 1
    assert wrote(out) == 2  # it was never killed

# One that is killed again and again, after each part.
out = folder / f"often{ending}"
while killed(out, 2, False):
    kills += 1
print(kills)
