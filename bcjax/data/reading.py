"""Pictures are looked at first and written later; what memory can hold is read once for both."""

import dataclasses
import functools

from bcjax.data.records import Record

BUDGET = 256 << 20  # bytes


class Memory:
    """Encoded pictures that were read, up to a budget; the others are read each time."""

    def __init__(self, budget: int = BUDGET):
        self._left = budget
        self._held: dict[str, bytes] = {}

    def of(self, record: Record) -> Record:
        """The same record, read through this memory; threads may read at once."""
        return dataclasses.replace(record, read=functools.partial(self._read, record))

    def _read(self, record: Record) -> bytes:
        held = self._held.get(record.id)
        if held is not None:
            return held
        encoded = record.read()
        if len(encoded) <= self._left:
            self._left -= len(encoded)
            self._held[record.id] = encoded
        return encoded
