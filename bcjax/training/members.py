"""How the steps of several runs are dispatched: one run after the other, or all at once under vmap.

The members of a run differ in seed, in learning rate or in the fold that is held out, and share one
program. Each is what it would have been alone: it has its own order, its own keys, its own state
and checkpoints, and its folder (`WORKDIR/member-0`, ...) is that of an ordinary run.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool

from bcjax.engine.dispatch import Batch, Hyperparameters, StoredArrays
from bcjax.engine.patience import Patience
from bcjax.engine.phases import Phase
from bcjax.engine.state import State
from bcjax.runtime import mesh as meshes
from bcjax.training.run import Run

States = dict[int, State]  # by the position of the member


class InTurn:
    """Takes steps of several runs in the same phase: one run after the other.

    The states of all of them travel together, here in a dictionary.
    On a CPU this is the faster way: there XLA's convolution with a kernel for each member is many
    times slower than one convolution after another, and one run already uses all cores.
    """

    def __init__(self, runs: Mapping[int, Run], states: States, phase: Phase):
        del states
        self._runs, self._phase = runs, phase

    def pack(self, states: States) -> Any:
        """Returns the states in the form in which they travel; the given ones are used up."""
        return dict(states)

    def step(self, packed: Any, batches: Mapping[int, Batch]) -> tuple[Any, dict[int, Array]]:
        """Takes the steps of a call in those runs that have a batch; the others stay as they are.

        Returns:
          The new states, and by position the metrics of each step, (steps, metrics).
        """
        states, metrics = dict(packed), {}
        for i, batch in batches.items():
            states[i], metrics[i] = self._runs[i].train(self._phase, states[i], batch)
        return states, metrics

    def state(self, packed: Any, position: int) -> State:
        """Returns the state of one run."""
        return packed[position]

    def with_patience(self, packed: Any, position: int, patience: Patience) -> Any:
        """Returns the states with another patience of one run."""
        return packed | {position: packed[position].replace(patience=patience)}


class AtOnce(InTurn):
    """One dispatch for all runs: their states are stacked and the step is mapped over them.

    The new state of a run without a batch is computed and thrown away.
    """

    def __init__(self, runs: Mapping[int, Run], states: States, phase: Phase):
        self._runs = runs
        self._row = {position: row for row, position in enumerate(runs)}
        position, first = next(iter(runs.items()))
        self._stored = first.loader("train", phase, states[position]).stored
        shardings = jax.tree.map(lambda leaf: leaf.sharding, phase.abstract)
        stacked = jax.tree.map(lambda s: NamedSharding(s.mesh, P(None, *s.spec)), shardings)
        everywhere = meshes.replicated_sharding(first.mesh)

        @functools.partial(jax.vmap, in_axes=(0, 0, 0, 0, None))
        def call(
            state: State,
            batches: Batch,
            values: Hyperparameters,
            moves: Bool[Array, ""],
            stored: StoredArrays,
        ) -> tuple[State, Array]:
            new, metrics = phase.call(state, batches, stored, values)
            return jax.tree.map(lambda a, b: jnp.where(moves, a, b), new, state), metrics

        def stack(each):
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)

        self._call = jax.jit(call, donate_argnums=0, out_shardings=(stacked, everywhere))
        self._stack_batches = jax.jit(
            stack, out_shardings=meshes.batch_sharding(first.mesh, leading=2)
        )
        self._stack_states = jax.jit(stack, out_shardings=stacked)
        self._values = jax.jit(stack, out_shardings=everywhere)(
            [run.values for run in runs.values()]
        )
        self._take = jax.jit(
            lambda states, i: jax.tree.map(lambda leaf: leaf[i], states), out_shardings=shardings
        )
        self._put = jax.jit(
            lambda all_, one, i: jax.tree.map(lambda a, b: a.at[i].set(b), all_, one),
            donate_argnums=0,
            out_shardings=stacked.patience,
        )

    def pack(self, states: States) -> State:
        """See `InTurn`."""
        return self._stack_states([states[i] for i in self._runs])

    def step(self, packed: State, batches: Mapping[int, Batch]) -> tuple[State, dict[int, Array]]:
        """See `InTurn`."""
        some = next(iter(batches.values()))
        stacked = self._stack_batches([batches.get(i, some) for i in self._runs])
        moves = jnp.array([i in batches for i in self._runs])
        packed, metrics = self._call(packed, stacked, self._values, moves, self._stored)
        return packed, {i: metrics[self._row[i]] for i in batches}

    def state(self, packed: State, position: int) -> State:
        """See `InTurn`."""
        return self._take(packed, self._row[position])

    def with_patience(self, packed: State, position: int, patience: Patience) -> State:
        """See `InTurn`."""
        return packed.replace(patience=self._put(packed.patience, patience, self._row[position]))


def choose(runs: Mapping[int, Run], states: States, phase: Phase) -> InTurn:
    """Returns the faster of the ways that are possible on this machine."""
    if len(runs) == 1 or jax.default_backend() == "cpu":
        return InTurn(runs, states, phase)
    loaders = [run.loader("train", phase, states[i]) for i, run in runs.items()]
    # Arrays that the devices hold for one run, such as its features, are not those of another.
    differ = any(loader.stored and loader is not loaders[0] for loader in loaders)
    return (InTurn if differ else AtOnce)(runs, states, phase)
