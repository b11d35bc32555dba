"""A training loop of one's own from the pieces of bcjax.engine, with a step that bcjax has not.

The step is sharpness-aware minimisation (Foret et al., ICLR 2021, arXiv:2010.01412): the gradient
is taken a little uphill of the parameters. The result is a run like any other:

    python examples/own_loop.py
    bcjax predict --workdir=runs/own_loop cell.jpg
"""

import functools
from pathlib import Path

import jax
import optax

import bcjax
from bcjax import engine
from bcjax.data.input_transform import InputTransform
from bcjax.data.preparation import prepare
from bcjax.data.store import open_store
from bcjax.engine import losses, network
from bcjax.runtime import mesh


def main(workdir: Path = Path("runs/own_loop"), steps: int = 300, **overrides) -> list[float]:
    """Trains, writes the run, and returns the loss of each step."""
    config = network.resolve(bcjax.get_config("elu_cnn", {"data.image_size": 32} | overrides))
    prepared = prepare(config.data)
    store = open_store(prepared, "train", "host", InputTransform.from_config(config.data))
    loader = engine.Loader(store, config.data, mesh.create())
    order = engine.order_of(config, prepared)  # which pictures each step sees

    model = network.build(config, classes=len(prepared.classes))
    optimizer = optax.adamw(1e-3)
    init = engine.initializer(model, image_size=config.data.image_size, ema=False, mode="max")
    begin = functools.partial(engine.begin, phase=0, optimizer=optimizer, mode="max")
    state = jax.jit(lambda seed: begin(init(seed)))(config.seed)

    @jax.jit
    def step(state: engine.State, batch: engine.Batch) -> tuple[engine.State, jax.Array]:
        images = engine.normalise(batch["image"] / 255, config.model.mean, config.model.std)
        dropout = {"dropout": jax.random.fold_in(jax.random.key(config.seed), state.step)}

        def loss_of(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            logits, updated = model.apply(
                variables, images, train=True, rngs=dropout, mutable=["batch_stats"]
            )
            return losses.cross_entropy(logits, batch["label"]).mean(), updated["batch_stats"]

        uphill = jax.grad(loss_of, has_aux=True)(state.params)[0]
        scale = 0.05 / (optax.tree.norm(uphill) + 1e-12)
        sharp = jax.tree.map(lambda param, up: param + scale * up, state.params, uphill)
        (loss, batch_stats), grads = jax.value_and_grad(loss_of, has_aux=True)(sharp)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state.replace(
            step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state
        ), loss

    values = []
    for batch in loader.training([engine.Call(k, 1) for k in range(steps)], order):
        state, loss = step(state, {name: array[0] for name, array in batch.items()})
        values.append(loss)

    workdir.mkdir(parents=True, exist_ok=True)
    engine.write_run(config, state.variables, prepared.classes, workdir)
    return [float(loss) for loss in values]


if __name__ == "__main__":
    print(f"loss {main()[-1]:.4f}")
