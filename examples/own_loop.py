"""A training loop of your own from the pieces of bcjax.engine, with a step that bcjax lacks.

The step is sharpness-aware minimisation (Foret et al., ICLR 2021, arXiv:2010.01412): the gradient
is taken a little uphill of the parameters. What it writes is a run like any other:

    python examples/own_loop.py
    bcjax predict --workdir=runs/own_loop cell.jpg
"""

from pathlib import Path

import jax
import optax

import bcjax
from bcjax import engine
from bcjax.data.preparation import prepare


def main(workdir: Path = Path("runs/own_loop"), steps: int = 300, **overrides) -> list[float]:
    """Trains, writes the run, and returns the loss of each step."""
    config = engine.resolve(bcjax.get_config("quickstart", {"data.image_size": 32} | overrides))
    cells = prepare(config.data)
    model = engine.build(config, classes=len(cells.classes))
    optimizer = optax.adamw(1e-3)
    gradient = jax.value_and_grad(engine.training_loss(model, config), has_aux=True)

    @jax.jit
    def step(state, batch):
        _, uphill = gradient(state.params, state, batch)
        scale = 0.05 / (optax.tree.norm(uphill) + 1e-12)
        sharp = jax.tree.map(lambda param, up: param + scale * up, state.params, uphill)
        (loss, batch_stats), grads = gradient(sharp, state, batch)
        return engine.apply_gradients(state, optimizer, grads, batch_stats), loss

    state, losses = engine.new_state(model, optimizer, config), []
    for batch in engine.training_batches(config, cells, steps):
        state, loss = step(state, batch)
        losses.append(float(loss))
    ancestry = engine.Ancestry().trained_on(cells, name=str(workdir))
    engine.write_run(config, state.variables, cells.classes, workdir, ancestry)
    return losses


if __name__ == "__main__":
    print(f"loss {main()[-1]:.4f}")
