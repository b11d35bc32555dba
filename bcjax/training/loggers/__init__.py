"""Where a run's numbers, pictures and files go; `open_writers` opens all that it asked for.

`metrics.jsonl`, `sessions.jsonl` and TensorBoard's events always; MLflow and Weights & Biases where
`track.to` names them; and a line for the person.
"""

from bcjax.training.loggers.background import InBackground
from bcjax.training.loggers.jsonl import JsonLines, read
from bcjax.training.loggers.opening import archive, check, open_writers
from bcjax.training.loggers.progress import ProgressLine
from bcjax.training.loggers.sessions import Session
from bcjax.training.loggers.tensorboard import TensorBoard
from bcjax.training.loggers.watched import evaluated
from bcjax.training.loggers.writer import Writer

__all__ = [
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
