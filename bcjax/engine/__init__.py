"""What trains a network: state, step, order and batches on the devices, checkpoints.

These are the pieces of `bcjax.train`, for a training loop of your own; examples/own_loop.py puts
them together with a step that bcjax does not have:

- `order_of`: which pictures step k sees, whatever the topology;
- `Loader`: a store of pictures as batches on the devices, `predict_split`: answers to all of it;
- `State`, `initializer`, `begin`: what a step takes and returns;
- `train_step` of a `Recipe`, `predict_step`, `normalise`: the pure functions to be jitted;
- `Checkpoints`, `write_run`: what `bcjax.load` reads again.
"""

from bcjax.engine.checkpoint import Checkpoints
from bcjax.engine.dispatch import Batch, Hyperparameters
from bcjax.engine.loader import Loader, order_of, predict_split
from bcjax.engine.network import RestoredNetwork, write_run
from bcjax.engine.plan import Call, Plan
from bcjax.engine.state import State, begin, initializer
from bcjax.engine.step import Recipe, normalise, predict_step, train_step

__all__ = [
    "Batch", "Call", "Checkpoints", "Hyperparameters", "Loader", "Plan", "Recipe",
    "RestoredNetwork", "State", "begin", "initializer", "normalise", "order_of", "predict_split",
    "predict_step", "train_step", "write_run",
]  # fmt: skip
