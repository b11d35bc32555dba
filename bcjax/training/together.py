"""How the steps of several runs are dispatched: one after the other, or all at once under vmap."""

import functools
from collections.abc import Mapping
from typing import Protocol

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool

from bcjax.engine.dispatch import Batch, Numbers, Pictures
from bcjax.engine.state import State
from bcjax.runtime import mesh as meshes
from bcjax.training.run import Run


class Together(Protocol):
    """Several runs in the same phase, one program for all."""

    def __call__(self, batches: Mapping[int, Batch]) -> dict[int, Array]:
        """Takes the steps of a call in the runs that are given a batch; the others stand still.

        Returns:
          What each reports, (steps, metrics), by its position.
        """
        ...

    def lend(self, position: int) -> Run:
        """Returns a run with the state in which it stands, until it is taken back."""
        ...

    def take_back(self, position: int) -> None:
        """Goes on from where a lent run stands; only its patience may have changed."""
        ...


class InTurn:
    """The very program of a single run, dispatched for each.

    On a CPU: XLA's convolution with a kernel for each member is many times slower there than one
    convolution after another, and there is nothing to gain, for one already fills the cores.
    """

    def __init__(self, runs: Mapping[int, Run]):
        self._runs = runs

    def __call__(self, batches: Mapping[int, Batch]) -> dict[int, Array]:
        """See `Together`."""
        return {i: self._runs[i].train(batch) for i, batch in batches.items()}

    def lend(self, position: int) -> Run:
        """See `Together`."""
        return self._runs[position]

    def take_back(self, position: int) -> None:
        """See `Together`."""


class AtOnce:
    """One dispatch for all: their states are stacked, and the step is mapped over them.

    A member that stands still is computed and not kept.
    """

    def __init__(self, runs: Mapping[int, Run]):
        self._runs = runs
        self._row = {position: row for row, position in enumerate(runs)}
        first = next(iter(runs.values()))
        shardings = jax.tree.map(lambda leaf: leaf.sharding, first.phase.abstract)
        stacked = jax.tree.map(lambda s: NamedSharding(s.mesh, P(None, *s.spec)), shardings)
        everywhere = meshes.replicated(first.mesh)

        @functools.partial(jax.vmap, in_axes=(0, 0, 0, 0, None))
        def call(
            state: State,
            batches: Batch,
            numbers: Numbers,
            moves: Bool[Array, ""],
            pictures: Pictures,
        ) -> tuple[State, Array]:
            new, metrics = first.phase.call(state, batches, pictures, numbers)
            return jax.tree.map(lambda a, b: jnp.where(moves, a, b), new, state), metrics

        def stack(each):
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)

        self._call = jax.jit(call, donate_argnums=0, out_shardings=(stacked, everywhere))
        self._stack_batches = jax.jit(
            stack, out_shardings=meshes.batch_sharding(first.mesh, leading=2)
        )
        self._numbers = jax.jit(stack, out_shardings=everywhere)(
            [run.numbers for run in runs.values()]
        )
        self._take = jax.jit(
            lambda states, i: jax.tree.map(lambda leaf: leaf[i], states), out_shardings=shardings
        )
        self._put = jax.jit(
            lambda all_, one, i: jax.tree.map(lambda a, b: a.at[i].set(b), all_, one),
            donate_argnums=0,
            out_shardings=stacked.patience,
        )
        self._states = jax.jit(stack, out_shardings=stacked)([run.state for run in runs.values()])
        for run in runs.values():
            _let_go(run)

    def __call__(self, batches: Mapping[int, Batch]) -> dict[int, Array]:
        """See `Together`."""
        some = next(iter(batches.values()))
        stacked = self._stack_batches([batches.get(i, some) for i in self._runs])
        moves = jnp.array([i in batches for i in self._runs])
        pictures = next(iter(self._runs.values())).feed("train").pictures
        self._states, metrics = self._call(self._states, stacked, self._numbers, moves, pictures)
        return {i: metrics[self._row[i]] for i in batches}

    def lend(self, position: int) -> Run:
        """See `Together`."""
        run = self._runs[position]
        run.state = self._take(self._states, self._row[position])
        return run

    def take_back(self, position: int) -> None:
        """See `Together`."""
        run = self._runs[position]
        patience = self._put(self._states.patience, run.state.patience, self._row[position])
        self._states = self._states.replace(patience=patience)
        _let_go(run)


def _let_go(run: Run) -> None:
    """Frees the large parts of a state that is held elsewhere."""
    run.state = run.state.replace(params={}, batch_stats={}, opt_state=(), ema={})


def choose(runs: Mapping[int, Run]) -> Together:
    """Returns the faster way on this machine, of those that are possible."""
    feeds = [run.feed("train") for run in runs.values()]
    # What the devices hold of one run's pictures, or of its features, is not another's.
    own = any(feed.pictures and feed is not feeds[0] for feed in feeds)
    return InTurn(runs) if own or jax.default_backend() == "cpu" else AtOnce(runs)
