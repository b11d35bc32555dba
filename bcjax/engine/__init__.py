"""What trains a network: state, step, order and batches on the devices, checkpoints.

These are the pieces of `bcjax.train`, for a training loop of your own; examples/own_loop.py puts
them together with a step that bcjax does not have:

- `order_of`: which pictures step k sees, whatever the topology;
- `Loader`: a store of pictures as batches on the devices; `training_batches` serves them step by
  step, `predict_split` runs a network over all of them;
- `build`: the network of a config; `State`, `new_state`: what a step takes and returns;
- `training_loss`, what bcjax minimises, and `apply_gradients`, which takes a step of an optimizer;
- `train_step` of a `Recipe`, `predict_step`, `normalise`, `cross_entropy`: pure functions to be
  jitted;
- `Checkpoints`, `write_run`: what `bcjax.load` reads again; `Ancestry`: which pictures made it.
"""

from bcjax.data.ancestry import Ancestry
from bcjax.engine.checkpoint import Checkpoints
from bcjax.engine.dispatch import Batch, Hyperparameters
from bcjax.engine.loader import Loader, order_of, predict_split, training_batches
from bcjax.engine.losses import cross_entropy
from bcjax.engine.network import RestoredNetwork, build, resolve, write_run
from bcjax.engine.plan import Call, Plan
from bcjax.engine.program import training_loss
from bcjax.engine.state import State, begin, initializer, new_state
from bcjax.engine.step import Recipe, apply_gradients, normalise, predict_step, train_step

__all__ = [
    "Ancestry", "Batch", "Call", "Checkpoints", "Hyperparameters", "Loader", "Plan", "Recipe",
    "RestoredNetwork", "State", "apply_gradients", "begin", "build", "cross_entropy", "initializer",
    "new_state", "normalise", "order_of", "predict_split", "predict_step", "resolve", "train_step",
    "training_batches", "training_loss", "write_run",
]  # fmt: skip
