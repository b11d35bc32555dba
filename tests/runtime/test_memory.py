"""What becomes of the heap of a process that keeps its memory, and fills the holes in it."""

import platform
import subprocess
import sys

import pytest

# As after a compilation: of many blocks every second is free. Prints whether a new one lies behind
# them all, by how many MB the process has shrunk, and whether what stays is as it was.
SCRIPT = """
import ctypes, sys
from pathlib import Path
from bcjax.runtime import memory

def address(block):
    return ctypes.addressof(ctypes.c_char.from_buffer(block))

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

memory.keep_freed()
blocks = [bytearray([i % 256]) * 20_000 for i in range(4000)]
kept = blocks[::2]
last = max(map(address, kept))
del blocks
before = resident()
if sys.argv[1:]:
    memory.fill_holes()
after = resident()
new = bytearray(15_000)
whole = all(block == bytes([2 * i % 256]) * 20_000 for i, block in enumerate(kept))
print(address(new) > last, (before - after) >> 20, whole)
"""

ON_GLIBC = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="sets what only glibc's malloc has"
)


def heap(*flags: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, *flags], capture_output=True, text=True, check=True
    )
    return ran.stdout.split()


@ON_GLIBC
def test_freed_blocks_stay_and_are_taken_again():
    assert heap() == ["False", "0", "True"]


@ON_GLIBC
def test_no_block_is_taken_from_a_hole_that_was_filled():
    behind, shrunk, whole = heap("fill")
    assert behind == "True"
    assert int(shrunk) >= 20  # of the 40 MB freed, what are whole pages
    assert whole == "True"
