"""What tests register from outside, taken out of the tables again."""

import contextlib
import sys

from bcjax import augment, config, models, register
from bcjax.data.sources import SOURCES
from bcjax.engine import losses
from bcjax.engine.optimizer import OPTIMIZERS
from bcjax.engine.schedules import SCHEDULES
from bcjax.metrics import names, scores
from bcjax.training.loop import CALLBACKS


@contextlib.contextmanager
def tables_restored():
    """Leaves the tables as they were, for whatever test comes next in this process."""
    tables = (
        models.MODELS, augment.OPS, OPTIMIZERS, SCHEDULES, losses.REGISTERED, CALLBACKS,
        config.KEYS, scores.REGISTERED, names.DESCRIPTIONS, SOURCES,
    )  # fmt: skip
    before = [dict(table) for table in tables]
    registered, modules = set(register._registered), set(sys.modules)
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
    register._registered.clear()
    register._registered.update(registered)
    for name in [name for name in set(sys.modules) - modules if name.startswith("my_cells")]:
        del sys.modules[name]
