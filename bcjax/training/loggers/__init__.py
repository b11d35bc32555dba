"""Loggers: where the metrics, pictures and files of a run go.

`metrics.jsonl`, `sessions.jsonl` and TensorBoard's events are always written; MLflow and Weights &
Biases are told too where `track.to` names them.
"""

from bcjax.training.loggers.evaluations import evaluated
from bcjax.training.loggers.logger import BackgroundLogger, Logger
from bcjax.training.loggers.metrics_file import JsonLines, read
from bcjax.training.loggers.opening import archive, check, open_loggers
from bcjax.training.loggers.sessions import SessionLog
from bcjax.training.loggers.tensorboard import TensorBoard

__all__ = [
    "BackgroundLogger",
    "JsonLines",
    "Logger",
    "SessionLog",
    "TensorBoard",
    "archive",
    "check",
    "evaluated",
    "open_loggers",
    "read",
]
