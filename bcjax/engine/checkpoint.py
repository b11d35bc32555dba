"""Checkpoints: asynchronous and atomic; the latest few and the best are kept. Only orbax user."""

import contextlib
import json
import logging
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from bcjax.engine.state import State, Variables, not_finite
from bcjax.metrics.names import sign
from bcjax.runtime import digests, environment, jax_settings
from bcjax.runtime.errors import UserError, disk_fault, disk_faults_told
from bcjax.runtime.run_dir import RunDir

log = logging.getLogger("bcjax")

_TIMES = "_CHECKPOINT_METADATA"  # in a checkpoint's folder: when orbax began and ended to write it


class DamagedCheckpointError(UserError):
    """A file of a checkpoint is not as it was written."""

    def __init__(self, path: Path, reason: str):
        super().__init__(f"The checkpoint {path} cannot be read ({reason}): choose another one.")
        self.reason = reason


class Checkpoints:
    """The checkpoints of a run, by step.

    Each holds the state, and a page about it: class names, the resolved config, package versions,
    and the evaluation at that step if there was one; and digests of all its files, which alone say
    whether it is damaged.
    """

    def __init__(self, workdir: Path, *, keep: int, metric: str, read_only: bool = False):
        """Opens `workdir/checkpoints`.

        Args:
          workdir: The folder of the run.
          keep: How many of the latest checkpoints to keep besides the best.
          metric: The evaluation's metric that decides which is best.
          read_only: Whether this only reads a run, which may be training elsewhere.

        Raises:
          UserError: If the folder has a name that checkpoints cannot be kept in.
        """
        RunDir(workdir).check_name()
        self.folder = RunDir(workdir).checkpoints.absolute()  # orbax insists
        self._keep = keep
        self._metric = metric
        self._scores: dict[int, float | None] = {}
        self._saving = 0  # the step
        quiet = _warnings_off() if read_only else contextlib.nullcontext()
        with quiet, self._disk_faults_told():
            self._manager = ocp.CheckpointManager(
                self.folder,
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=self,
                    cleanup_tmp_directories=not read_only,  # those that a kill left unfinished
                    create=not read_only,
                    read_only=read_only,
                    async_options=ocp.options.AsyncOptions(
                        post_finalization_callback=self._write_digests
                    ),
                ),
                item_names=("state", "about"),
            )

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Returns which checkpoints to keep, the latest few and the best; orbax calls this."""
        steps = [checkpoint.step for checkpoint in checkpoints]
        best = self._best_of(steps)
        return [step == best or step in steps[-self._keep :] for step in steps]

    def _best_of(self, steps: Sequence[int]) -> int | None:
        scored = [(score, step) for step in steps if (score := self.score(step)) is not None]
        return max(scored)[1] if scored else None

    def score(self, step: int) -> float | None:
        """Returns the score of the evaluation at a step, higher is better; None without one."""
        if step not in self._scores:
            try:
                evaluation = self.about(step)["evaluation"]
            except Exception as error:
                log.debug("No score for checkpoint %d: %s", step, error)
                evaluation = None
            self._remember(step, evaluation)
        return self._scores[step]

    def _remember(self, step: int, evaluation: dict[str, float] | None) -> None:
        value = (evaluation or {}).get(self._metric)
        self._scores[step] = None if value is None else sign(self._metric) * value

    @jax_settings.fixed()
    def save(self, state: State, about: dict[str, Any]) -> None:
        """Starts to write a state; returns once it is copied off the devices.

        A failure in the background is raised by the next `save` or `wait`.

        Args:
          state: The state; it may be donated to the next step at once.
          about: The page about it, from `about_page`.

        Raises:
          UserError: If a parameter or a statistic is not finite; or if the disk is full, or fails
            otherwise. The checkpoints written before are whole.
        """
        step = int(state.step)
        _check_before_saving(state)
        self._remember(step, about["evaluation"])
        page = about | {"checksum": _checksum(state)}
        page["crc32"] = _crc32(page)
        with self._disk_faults_told():
            self._manager.check_for_errors()
            self._manager.wait_until_finished()
            self._saving = step
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(page)
                ),
            )

    def wait(self) -> None:
        """Waits until everything is on disk.

        Raises:
          UserError: If the disk is full, or fails otherwise.
        """
        with self._disk_faults_told():
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    def close(self) -> None:
        """Waits until everything is on disk and releases the folder."""
        with self._disk_faults_told():
            self._manager.close()

    def steps(self) -> list[int]:
        """Returns the steps on disk in ascending order; reads the folder at each call."""
        self._manager.reload()
        return sorted(self._manager.all_steps())

    def best(self) -> int | None:
        """Returns the step of the best evaluation, the latest among equals; None without any."""
        return self._best_of(self.steps())

    def about(self, step: int) -> dict[str, Any]:
        """Returns the page about a checkpoint, see `about_page`.

        Raises:
          ValueError: If it differs from what was written.
        """
        only = ocp.args.Composite(about=ocp.args.JsonRestore())
        page = self._manager.restore(step, args=only)["about"]
        if page.pop("crc32", None) != _crc32(page):
            raise ValueError("the page about it does not match its checksum")
        return page

    def check(self, step: int) -> None:
        """Checks that the files of a checkpoint are as they were written, where they have digests.

        Raises:
          DamagedCheckpointError: If one of them is not.
        """
        folder = self.folder / str(step)
        if changed := digests.changed(folder):
            raise DamagedCheckpointError(folder, f"{changed} is not as it was written")

    @jax_settings.fixed()
    def restore(self, step: int, abstracts: Sequence[State]) -> State:
        """Reads a whole state onto any devices, whichever devices it was saved from.

        Args:
          step: The step of the checkpoint.
          abstracts: The state of each phase of the run as shapes with shardings; the optimizer's
            state differs between phases.

        Raises:
          DamagedCheckpointError: If a file is not as it was written.
          UserError: If it cannot be read for another reason, as where it was written under other
            settings of JAX, or for another network.
        """
        with self.faults_named(step, abstracts):
            checksum = self.about(step)["checksum"]
            phase = int(self.restore_variables(step, {"phase": abstracts[0].phase})["phase"])
            only = ocp.args.Composite(state=ocp.args.StandardRestore(abstracts[phase]))
            state = self._manager.restore(step, args=only)["state"]
            if _checksum(state) != checksum:
                raise ValueError("its content does not match its checksum")
            self._check_finite(step, _evaluated(state))
        return state

    def restore_latest(self, abstracts: Sequence[State]) -> State | None:
        """Reads the newest undamaged state, see `restore`; returns None if there is none.

        A damaged checkpoint is moved aside with a warning, and the one before it is read.

        Raises:
          UserError: As `restore`, for a checkpoint whose files are as they were written, or have no
            digests, as those of version 0.1.
        """
        for step in reversed(self.steps()):
            try:
                return self.restore(step, abstracts)
            except DamagedCheckpointError as error:
                aside = RunDir(self.folder.parent).damaged / str(step)
                log.warning(
                    "Checkpoint %d cannot be read (%s): moved to %s, going on from the one before.",
                    step, error.reason, aside,
                )  # fmt: skip
                self._move_aside(step, aside)
        return None

    @contextlib.contextmanager
    def faults_named(self, step: int, abstracts: Sequence[State] = ()) -> Iterator[None]:
        """Names the checkpoint that is being read, where that fails, and says why.

        Args:
          step: The step of the checkpoint.
          abstracts: As for `restore`, if a whole state is read.

        Raises:
          DamagedCheckpointError: If a file is not as it was written.
          UserError: If it fails otherwise; the checkpoint may be undamaged.
        """
        try:
            yield
        except (MemoryError, jax.errors.JaxRuntimeError, UserError):
            raise
        except Exception as error:
            if fault := disk_fault(error, self.folder):
                raise UserError(f"{fault}.") from error
            self.check(step)
            raise UserError(self._why_not(step, error, abstracts)) from error

    def _why_not(self, step: int, error: Exception, abstracts: Sequence[State]) -> str:
        """Returns why a checkpoint that is perhaps undamaged cannot be read, in a sentence."""
        folder = self.folder / str(step)
        different, why = "", str(error.__cause__ or error).strip() or repr(error)
        with contextlib.suppress(Exception), ocp.PyTreeCheckpointer() as reader:
            stored = reader.metadata(folder / "state").item_metadata.tree
            different = min((_difference(stored, each) for each in abstracts), key=len)
        if different:
            return (
                f"Checkpoint {step} in {self.folder} holds another state than this run's: "
                f"{different}. It is left as it is: give another --workdir, and begin from its "
                f"weights with --config.model.weights={self.folder.parent} if you like."
            )
        known = digests.changed(folder) is not None
        state = "it is as it was written" if known else "it has no digests that would tell damage"
        return (
            f"Checkpoint {step} in {self.folder} cannot be read ({why.splitlines()[0][:200]}), and "
            f"{state}: it is left as it is. Choose another one, or move {folder} elsewhere to go "
            "on from the one before."
        )

    @jax_settings.fixed()
    def restore_variables(self, step: int, abstract: Variables) -> Variables:
        """Reads only some parts of a state, such as {"params": ..., "batch_stats": ...}.

        Raises:
          UserError: If one of them is not finite.
        """
        with ocp.PyTreeCheckpointer() as reader:
            read = reader.restore(
                self.folder / str(step) / "state",
                args=ocp.args.PyTreeRestore(
                    item=abstract,
                    restore_args=ocp.checkpoint_utils.construct_restore_args(abstract),
                    partial_restore=True,
                ),
            )
        self._check_finite(step, read)
        return read

    def _check_finite(self, step: int, variables: Variables) -> None:
        if name := not_finite(variables):
            raise UserError(
                f"Checkpoint {step} in {self.folder} is of a network that diverged, for {name} is "
                "not finite: choose another one, or move it elsewhere to go on from the one before."
            )

    def _write_digests(self) -> None:
        """Writes the digests of the files of a save; orbax calls this before it renames the folder.

        So they come into being with the checkpoint, or not at all.
        """
        if jax.process_index() == 0:
            for folder in self.folder.glob(f"{self._saving}.orbax-checkpoint-tmp*"):
                digests.write(folder, but=_TIMES)

    def _move_aside(self, step: int, aside: Path) -> None:
        if jax.process_index() == 0:
            aside.parent.mkdir(exist_ok=True)
            shutil.rmtree(aside, ignore_errors=True)  # the same step was damaged before
            (self.folder / str(step)).rename(aside)
        ocp.multihost.sync_global_processes("moved a damaged checkpoint aside")
        self._manager.reload()

    def _disk_faults_told(self) -> contextlib.AbstractContextManager[None]:
        return disk_faults_told(self.folder, "; it goes on from the last whole checkpoint")


@contextlib.contextmanager
def _warnings_off() -> Iterator[None]:
    """Keeps orbax from warning that a folder which is opened for reading is read only."""
    orbax = logging.getLogger("absl")
    before = orbax.level
    orbax.setLevel(logging.ERROR)
    try:
        yield
    finally:
        orbax.setLevel(before)


def _checksum(state: State) -> int:
    """Adds up the bits of a state, with the same result on any topology: integer sums commute.

    Orbax notices truncated files but no flipped bit. Computed on the host, because a program of so
    many sums would take longer to compile than some runs take to train.
    """
    total = 0
    for position, leaf in enumerate(jax.tree.leaves(state)):
        for part in _first_copies(leaf):
            bits = part.reshape(-1).view(f"uint{8 * part.itemsize}")
            total += (2 * position + 1) * int(bits.sum(dtype=np.uint32))
    if jax.process_count() > 1:
        each = multihost_utils.process_allgather(np.uint32(total % 2**32))
        total = int(each.sum(dtype=np.uint32))
    return total % 2**32


def _first_copies(leaf: Any) -> list[np.ndarray]:
    """Returns the shards of an array of which this process holds the first copy."""
    if not isinstance(leaf, jax.Array):
        return [np.asarray(leaf)] if jax.process_index() == 0 else []
    return [np.asarray(shard.data) for shard in leaf.addressable_shards if shard.replica_id == 0]


def _evaluated(state: State) -> Variables:
    """Returns the parts of a state that a network is evaluated with."""
    return {"params": state.params, "batch_stats": state.batch_stats, "ema": state.ema}


def _check_before_saving(state: State) -> None:
    """Checks that a state is finite; all processes raise together."""
    name = not_finite(_evaluated(state))
    if jax.process_count() > 1 and multihost_utils.process_allgather(np.bool_(name)).any():
        name = name or "a part of the state"
    if name:
        raise UserError(
            f"At step {int(state.step)}, {name} is not finite, and nothing is saved: lower "
            "config.optim.lr or set config.optim.clip_norm=1.0; the checkpoints before it are kept."
        )


def _difference(stored: Any, abstract: State) -> str:
    """Returns the first difference between a stored state and an abstract one; "" for none."""

    def kinds(tree: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
        leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
        return {
            jax.tree_util.keystr(path, simple=True, separator="/"): (str(leaf.dtype), leaf.shape)
            for path, leaf in leaves
            if hasattr(leaf, "dtype")
        }

    there, here = kinds(stored), kinds(abstract)
    if missing := sorted(there.keys() ^ here.keys()):
        return f"{missing[0]} is only in {'the checkpoint' if missing[0] in there else 'this run'}"
    for name, (dtype, shape) in here.items():
        if there[name][0] != dtype:
            x64 = " (it was written with jax_enable_x64)" if there[name][0].endswith("64") else ""
            return f"{name} is {there[name][0]} there and {dtype} here{x64}"
        if tuple(there[name][1]) != shape:
            return f"{name} has the shape {tuple(there[name][1])} there and {shape} here"
    return ""


def _crc32(page: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(page, sort_keys=True).encode())


def about_page(
    config: ConfigDict, classes: Sequence[str], evaluation: dict[str, float] | None
) -> dict[str, Any]:
    """Returns the page that is written beside each state.

    Args:
      config: The resolved config.
      classes: The class names, in the order of the logits.
      evaluation: The headline metrics of the evaluation at this step, if there was one.
    """
    return {
        "classes": list(classes),
        "config": json.loads(config.to_json_best_effort()),
        "versions": environment.versions(),
        "evaluation": evaluation,
    }
