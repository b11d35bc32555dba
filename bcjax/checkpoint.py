"""Checkpoints: asynchronous, atomic, the latest few and the best kept. The only user of orbax."""

import contextlib
import errno
import importlib.metadata
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from bcjax.errors import UserError
from bcjax.state import State, Variables

log = logging.getLogger("bcjax")

_PACKAGES = ("bcjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class Checkpoints:
    """The checkpoints of one workdir, by step.

    Each holds the state, sharded as it was, and a page about it: class names, the resolved config,
    package versions, and the evaluation if there was one at that step.
    """

    def __init__(self, workdir: Path, *, keep: int, metric: str, read_only: bool = False):
        """Opens `workdir/checkpoints`.

        Args:
          workdir: The run's folder.
          keep: How many of the latest to keep, besides the best.
          metric: The evaluation's metric that decides which is best.
          read_only: For readers of a run that may be going on.
        """
        self.folder = (workdir / "checkpoints").absolute()  # orbax insists
        self._metric = metric
        keep_latest = policies.LatestN(keep)
        keep_best = policies.BestN(
            get_metric_fn=self._score, n=1, keep_checkpoints_without_metrics=False
        )
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy([keep_latest, keep_best]),
                best_fn=self._score,  # without it orbax writes no metrics
                cleanup_tmp_directories=not read_only,  # what a killed run left half-written
                create=not read_only,
                read_only=read_only,
            ),
            item_names=("state", "about"),
        )

    def _score(self, metrics: dict[str, float]) -> float:
        value = metrics[self._metric]
        return -value if self._metric == "log_loss" else value

    def save(self, state: State, about: dict[str, Any], metrics: dict[str, float] | None) -> None:
        """Starts to write the state; returns once it is copied off the devices.

        A failure in the background shows at the next `save` or `wait`.

        Args:
          state: To be written; may be donated to the next step at once.
          about: JSON-ready; see `about`.
          metrics: Headline values of the evaluation at this step, if there was one.

        Raises:
          UserError: If the disk is full. The checkpoints written before are whole.
        """
        with self._full_disk_said():
            self._manager.save(
                int(state.step),
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about)
                ),
                metrics=metrics,
            )

    def wait(self) -> None:
        """Returns once everything is on disk.

        Raises:
          UserError: If the disk is full.
        """
        with self._full_disk_said():
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    def close(self) -> None:
        with self._full_disk_said():
            self._manager.close()

    def steps(self) -> list[int]:
        """Returns the steps on disk, ascending; looks anew each time."""
        self._manager.reload()
        return sorted(self._manager.all_steps())

    def best(self) -> int | None:
        """Returns the step with the best evaluation, the latest among equals; None if none."""
        metrics = {step: self._manager.metrics(step) for step in self.steps()}
        scored = [(self._score(values), step) for step, values in metrics.items() if values]
        return max(scored)[1] if scored else None

    def about(self, step: int) -> dict[str, Any]:
        """Returns the page about a checkpoint: classes, config, versions, evaluation."""
        return self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))[
            "about"
        ]

    def restore(self, step: int, abstract: State) -> State:
        """Reads a whole state onto the devices that `abstract` names, whatever wrote it."""
        return self._manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        )["state"]

    def restore_latest(self, abstract: State) -> State | None:
        """Reads the newest whole state; None if there is none.

        A damaged checkpoint is moved aside with a warning, and the one before it is taken.
        """
        for step in reversed(self.steps()):
            try:
                return self.restore(step, abstract)
            except Exception as error:  # noqa: BLE001 - whatever the damage makes orbax raise
                aside = self.folder.parent / "damaged" / str(step)
                log.warning(
                    "Checkpoint %d cannot be read (%s): moved to %s, going on from the one before.",
                    step, str(error).strip().splitlines()[0][:200], aside,
                )  # fmt: skip
                self._move_aside(step, aside)
        return None

    def restore_variables(self, step: int, abstract: Variables) -> Variables:
        """Reads only the named parts of a state (params, batch_stats, ema)."""
        with ocp.PyTreeCheckpointer() as reader:
            return reader.restore(
                self.folder / str(step) / "state",
                args=ocp.args.PyTreeRestore(
                    item=abstract,
                    restore_args=ocp.checkpoint_utils.construct_restore_args(abstract),
                    partial_restore=True,
                ),
            )

    def _move_aside(self, step: int, aside: Path) -> None:
        if jax.process_index() == 0:
            aside.parent.mkdir(exist_ok=True)
            (self.folder / str(step)).rename(aside)
        ocp.multihost.sync_global_processes("moved a damaged checkpoint aside")
        self._manager.reload()

    @contextlib.contextmanager
    def _full_disk_said(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
                raise UserError(
                    f"The disk that holds {self.folder} is full: free some space and run the same "
                    "command again; it goes on from the last whole checkpoint."
                ) from error
            raise


def about(config: dict[str, Any], classes: tuple[str, ...], evaluation: dict | None) -> dict:
    """Returns the page that is written beside each state."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "classes": list(classes),
        "config": config,
        "versions": versions,
        "evaluation": evaluation,
    }
