"""What a virtual machine's host gave to others: time in which nothing here could run."""

from typing import NamedTuple

import psutil

#: The share from which on a figure says as much of others' work as of ours.
DISTURBED = 0.05


class Processors(NamedTuple):
    """Seconds of all processors since they were started.

    Attributes:
      wanted: In which something here ran or could have run.
      stolen: Of these, in which the host ran something else.
    """

    wanted: float
    stolen: float


def processors() -> Processors:
    """Returns the counters as they are now; where the system does not say, nothing is stolen."""
    times = psutil.cpu_times()
    stolen = getattr(times, "steal", 0.0)
    ran = sum(getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))
    return Processors(ran + stolen, stolen)


def stolen_share(since: Processors) -> float:
    """Returns how much of what was wanted since then was stolen, from 0 to 1."""
    now = processors()
    wanted = now.wanted - since.wanted
    return (now.stolen - since.stolen) / wanted if wanted > 0 else 0.0
