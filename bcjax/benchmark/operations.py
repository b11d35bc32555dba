"""What a compiled program does, operation by operation, read from its optimised HLO text."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
# A shape holds neither " word(" nor a quotation mark: the first word before "(" is the operation.
_LINE = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
_ARRAY = re.compile(r"(pred|[a-z]+\d+\w*)\[([\d,]*)\](?:\{([^}]*)\})?")
_CALLED = re.compile(r"(?:calls|to_apply|body|branch_computations)=\{?((?:%[\w.\-]+(?:, )?)+)")
_GROUPED = re.compile(r"(?:feature|batch)_group_count=(?!1\b)\d+")

# They say where something is, and do nothing.
_NAMES = {
    "parameter", "constant", "iota", "tuple", "get-tuple-element", "bitcast", "after-all",
    "partition-id", "copy-done", "async-done", "slice-done",
}  # fmt: skip
_CALLS = {"while", "conditional", "call"}
_MOVES = {"copy", "transpose", "convert", "reshape", "slice", "concatenate", "pad", "copy-start"}
_PRODUCTS = re.compile(r"conv|gemm|matmul|dot", re.IGNORECASE)  # in the name of a library's call

# By the names of scopes in `steps.train_step`, and of layers in `bcjax.models`.
_PLACES = {
    "augmentation": re.compile(r"[/(]augmentation[/)]"),  # jvp(augmentation), too
    "optimizer": re.compile(r"[/(]optimizer[/)]"),
    "depthwise": re.compile(r"/depthwise(_conv)?/"),
    "normalisation": re.compile(r"norm\d?/"),
}

#: What an operation can be for, as `Program.kind` says.
KINDS = (
    "convolution", "depthwise", "normalisation", "reduction", "element-wise", "optimizer",
    "augmentation", "moves",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Operation:
    """One line of the text.

    Attributes:
      name: Unique in the program.
      shape: Of the result, with layout and memory space.
      opcode: What is done.
      operands: Names.
      rest: All that follows the bracket: operands again, attributes, metadata.
    """

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    rest: str

    @property
    def path(self) -> str:
        """Where in the model it comes from, "" where the compiler has made it up."""
        found = re.search(r'op_name="([^"]*)"', self.rest)
        return found[1] if found else ""

    @property
    def cycles(self) -> int | None:
        """The compiler's estimate; None: it makes none."""
        found = re.search(r'"estimated_cycles":"(\d+)"', self.rest)
        return int(found[1]) if found else None

    @property
    def trips(self) -> int:
        """Of a loop; 1 where the compiler does not know."""
        found = re.search(r'"known_trip_count":\{"n":"(\d+)"', self.rest)
        return int(found[1]) if found else 1

    @property
    def called(self) -> list[str]:
        return [n for part in _CALLED.findall(self.rest) for n in re.findall(r"%([\w.\-]+)", part)]

    @property
    def grouped(self) -> bool:
        """Whether it is a convolution whose channels are divided into groups: depthwise, here."""
        return bool(_GROUPED.search(self.rest))


class Program:
    """The operations of a program, by computation."""

    def __init__(self, text: str):
        """Reads what `Compiled.as_text()` returns."""
        self._computations: dict[str, list[Operation]] = {}
        self._entry = ""
        current: list[Operation] = []
        for line in text.splitlines():
            if line.endswith("{") and not line.startswith((" ", "HloModule")):
                header = _HEADER.match(line)
                if header:
                    current = self._computations.setdefault(header[2], [])
                    self._entry = header[2] if header[1] else self._entry
            elif found := _LINE.match(line):
                name, shape, opcode, rest = found.groups()
                operands = tuple(re.findall(r"%([\w.\-]+)", rest[: _closing(rest)]))
                current.append(Operation(name, shape, opcode, operands, rest))
        self._shapes = {o.name: o.shape for ops in self._computations.values() for o in ops}

    def dispatched(self) -> list[tuple[Operation, int]]:
        """The operations that read their operands from memory and write their result there.

        Each with how often it is done: as often as the loop that it is in. Of a choice, every
        branch is counted.
        """
        return list(self._dispatched(self._entry, 1))

    def _dispatched(self, computation: str, times: int) -> Iterator[tuple[Operation, int]]:
        for operation in self._computations.get(computation, ()):
            if operation.opcode in _CALLS:
                for called in operation.called:
                    yield from self._dispatched(called, times * operation.trips)
            elif operation.opcode not in _NAMES:
                yield operation, times

    def inside(self, operation: Operation) -> list[Operation]:
        """The operation and all that are fused in it."""
        fused = [
            each
            for called in operation.called
            for inner in self._computations.get(called, [])
            for each in self.inside(inner)
        ]
        return [operation, *fused]

    def path(self, operation: Operation) -> str:
        """Where in the model an operation comes from: the last of what is fused in it says so."""
        fused = (each.path for each in reversed(self.inside(operation)))
        return operation.path or next(filter(None, fused), "")

    def memory_bytes(self, operation: Operation) -> int:
        """Bytes read from the device's main memory and written to it, each operand whole."""
        shapes = [self._shapes.get(name, "") for name in operation.operands]
        if operation.opcode.endswith("-start"):  # its result names its operand again
            return sum(map(main_memory_bytes, shapes))
        return sum(map(main_memory_bytes, [operation.shape, *shapes]))

    def only(self, operation: Operation) -> str:
        """The opcode of an operation that does one thing; "": it does several."""
        opcodes = {each.opcode for each in self.inside(operation)} - _NAMES - {"fusion"}
        return opcodes.pop() if len(opcodes) == 1 else ""

    def kind(self, operation: Operation) -> str:
        """What an operation is for.

        Returns:
          "convolution" (or another matrix product) or "depthwise", with all that is fused to it;
          else "augmentation", "optimizer", "depthwise" (as a sum of shifted products) or
          "normalisation", by where it stands; else "moves": it computes nothing, but copies,
          transposes or casts; else "reduction" or "element-wise".
        """
        inside = self.inside(operation)
        opcodes = {each.opcode for each in inside} - _NAMES - {"fusion"}
        products = [each for each in inside if _is_product(each)]
        if products:
            return "depthwise" if any(each.grouped for each in products) else "convolution"
        path = self.path(operation)
        for kind, place in _PLACES.items():
            if place.search(path):
                return kind
        if opcodes <= _MOVES:
            return "moves"
        return "reduction" if opcodes & {"reduce", "reduce-window"} else "element-wise"


def main_memory_bytes(shape: str) -> int:
    """Bytes of the arrays in a shape, but for those in another memory space than the first."""
    return sum(
        _width(dtype) * math.prod(int(n) for n in sides.split(",") if n)
        for dtype, sides, layout in _ARRAY.findall(shape)
        if not re.search(r"S\([1-9]", layout)
    )


@functools.cache
def _width(dtype: str) -> int:
    """Bytes of a number: bf16 has 2. Smaller ones are counted as one."""
    found = re.search(r"\d+", dtype)
    return max(1, int(found[0]) // 8) if found else 1


def _is_product(operation: Operation) -> bool:
    if operation.opcode == "custom-call":
        target = re.search(r'custom_call_target="([^"]*)"', operation.rest)
        return bool(target and _PRODUCTS.search(target[1]))
    return operation.opcode in ("convolution", "dot")


def _closing(text: str) -> int:
    """Where the bracket that was opened before `text` is closed."""
    depth = 1
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return i
    return len(text)
