"""Where a run's numbers, pictures and files go; `open_writers` opens all that it asked for.

`metrics.jsonl`, `sessions.jsonl` and TensorBoard's events always; MLflow and Weights & Biases where
`track.to` names them; and a line for the person.
"""

from bcjax.writers.background import InBackground
from bcjax.writers.jsonl import METRICS_FILE, JsonLines, read
from bcjax.writers.opening import archive, check, open_writers
from bcjax.writers.progress import ProgressLine
from bcjax.writers.sessions import SESSIONS_FILE, Session
from bcjax.writers.tensorboard import TensorBoard
from bcjax.writers.watched import evaluated
from bcjax.writers.writer import Writer

__all__ = [
    "METRICS_FILE",
    "SESSIONS_FILE",
    "InBackground",
    "JsonLines",
    "ProgressLine",
    "Session",
    "TensorBoard",
    "Writer",
    "archive",
    "check",
    "evaluated",
    "open_writers",
    "read",
]
