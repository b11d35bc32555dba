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
    config = engine.resolve(bcjax.get_config("elu_cnn", {"data.image_size": 32} | overrides))
    cells = prepare(config.data)
    model = engine.build(config, classes=len(cells.classes))
    optimizer = optax.adamw(1e-3)

    def loss(params, state, batch):
        images = engine.normalise(batch["image"] / 255, config.model.mean, config.model.std)
        variables = {"params": params, "batch_stats": state.batch_stats}
        dropout = {"dropout": jax.random.fold_in(jax.random.key(config.seed), state.step)}
        logits = model.apply(variables, images, train=True, rngs=dropout)
        return engine.cross_entropy(logits, batch["label"]).mean()

    @jax.jit
    def step(state, batch):
        uphill = jax.grad(loss)(state.params, state, batch)
        scale = 0.05 / (optax.tree.norm(uphill) + 1e-12)
        sharp = jax.tree.map(lambda param, up: param + scale * up, state.params, uphill)
        value, grads = jax.value_and_grad(loss)(sharp, state, batch)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state.replace(step=state.step + 1, params=params, opt_state=opt_state), value

    state, values = engine.new_state(model, optimizer, config), []
    for batch in engine.training_batches(config, cells, steps):
        state, value = step(state, batch)
        values.append(value)

    workdir.mkdir(parents=True, exist_ok=True)
    engine.write_run(config, state.variables, cells.classes, workdir)
    return [float(value) for value in values]


if __name__ == "__main__":
    print(f"loss {main()[-1]:.4f}")
