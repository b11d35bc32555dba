"""What a compiled program's calls of libraries read and write.

XLA's own count of bytes leaves out custom calls, and on a GPU these are its convolutions and
matrix products (cuDNN's and cuBLAS's): half of what a network moves.
"""

import math
import re

# `%name = SHAPE opcode(%operand, ...)`, where the shape of several outputs is a tuple of shapes.
_INSTRUCTION = re.compile(
    r"\s*(?:ROOT )?%?(?P<name>[\w.-]+) = (?P<shape>\(.*?\)|\S+)"
    r" (?P<opcode>[\w-]+)\((?P<operands>[^)]*)\)"
)
_ARRAY = re.compile(r"\b(?P<kind>pred|[a-z]+(?P<bits>\d+)\w*)\[(?P<sides>[\d,]*)\]")
_OPERAND = re.compile(r"%?([\w.-]+)(?=,|$)")


def bytes_accessed(hlo: str) -> int:
    """Returns the bytes of all operands and outputs of the custom calls in a program.

    Args:
      hlo: The text of the optimised program.
    """
    shapes: dict[str, str] = {}
    calls: list[tuple[str, list[str]]] = []
    for line in hlo.splitlines():
        if found := _INSTRUCTION.match(line):
            shapes[found["name"]] = found["shape"]
            if found["opcode"].startswith("custom-call"):
                calls.append((found["shape"], _OPERAND.findall(found["operands"])))
    return sum(_size(out) + sum(_size(shapes.get(name, "")) for name in ins) for out, ins in calls)


def _size(shape: str) -> int:
    """Returns the bytes of `f32[8,16]{1,0}`, or of a tuple of such."""
    return sum(
        math.prod(int(side) for side in found["sides"].split(",") if side)
        * max(1, int(found["bits"] or 8) // 8)
        for found in _ARRAY.finditer(shape)
    )
