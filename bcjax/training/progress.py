"""What a person reads while a run trains: a summary before the first step, then a progress line."""

import dataclasses
import itertools
import math

import jax
from flax import traverse_util
from ml_collections import ConfigDict
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from bcjax.config import ImageSize
from bcjax.engine import patience
from bcjax.engine.state import State
from bcjax.engine.trainable import stage_of
from bcjax.evaluation.guards.pictures import about_start
from bcjax.metrics.names import describe, sign
from bcjax.runtime.live_line import LiveLine
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.training_sessions import Changes, different_conditions, read_sessions
from bcjax.training.loggers.sessions import session_now
from bcjax.training.run import Run

_INDENT = 12  # columns of the summary's left side


def print_summary(
    run: Run, state: State, resumed: bool, changes: Changes, console: Console
) -> None:
    """Prints the devices, the pictures by class and split, the network, what trains, the folder."""

    def line(name: str, text: str) -> None:
        console.print(f"{name:<{_INDENT}}{text}", highlight=False, soft_wrap=True)

    config, phase_now = run.config, run.phase_of(state)
    devices = jax.devices()
    shape = " x ".join(f"{axis} {size}" for axis, size in run.mesh.shape.items())
    line("devices", f"{len(devices)} x {devices[0].device_kind}, mesh {shape}")
    if jax.process_count() > 1:
        line("", f"{jax.process_count()} processes")
    line("pictures", str(run.prepared.path))
    line("", f"{ImageSize.of(config.data.image_size)} px, {run.store} store ({run.store_reason})")
    for note in run.prepared.notes:
        line("", note)
    counts = run.prepared.counts
    width = max(len(name) for name in run.classes)
    line("", f"{'':<{width}}" + "".join(f"{split:>8}" for split in counts))
    for label, name in enumerate(run.classes):
        row = "".join(f"{by_label[label]:>8,}" for by_label in counts.values())
        line("", f"{name:<{width}}{row}")
    size = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    line("model", f"{config.model.name}, {size:,} parameters, {config.model.dtype}")
    if config.model.weights:
        line("", f"from {config.model.weights}")
    for note in (*run.weights_notes, *about_start(run.workdir, config, run.prepared)):
        line("", note)
    everything = all(rate == 1 for phase in run.phases for rate in phase.lr_scales.values())
    line("trains", "all of them" if everything else "these, at their share of the learning rate:")
    if not everything:
        console.print(Padding.indent(_what_trains(run, state), _INDENT))
    if not config.model.weights and any(phase.frozen.parameters for phase in run.phases):
        line("", "What is frozen is as chance made it: config.model.weights would name weights.")
    for phase in run.phases:
        length = phase.config.train.length
        line(
            "run" if phase.position == 0 else "then",
            f"{phase.plan.length:,} steps of {config.train.batch_size} pictures ({length}), "
            f"{phase_now.plan.steps_per_call} per call, {config.optim.name}"
            + (", on features computed once" if phase.caches_features else ""),
        )
    for i, (key, (before, since)) in enumerate(changes.items()):
        line("" if i else "changed", f"{key} from {before!r} to {since!r}")
    line(
        "written to",
        str(run.workdir) + (f", resumed at step {int(state.step):,}" if resumed else ""),
    )
    for before in read_sessions(RunDir(run.workdir).sessions)[-1:] if resumed else ():
        if different := different_conditions(before, session_now(int(state.step))):
            line(
                "",
                f"The steps before were computed with other {', '.join(different)}: the last bits "
                "of the result may differ from those of one session.",
            )


def _what_trains(run: Run, state: State) -> Table:
    """Returns a row for each stage: parameters, how many train in each phase, at which rates."""
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("parameters", justify="right")
    for phase in run.phases:
        heading = f"phase {phase.position + 1}" if len(run.phases) > 1 else "train"
        table.add_column(heading, justify="right")
        table.add_column("lr x", justify="right")
    params = traverse_util.flatten_dict(state.params, sep="/")
    for stage, group in itertools.groupby(run.phases[0].lr_scales, stage_of):
        paths = list(group)
        row = [f"{sum(params[path].size for path in paths):,}"]
        for phase in run.phases:
            trains = [path for path in paths if phase.lr_scales[path]]
            row.append(f"{sum(params[path].size for path in trains):,}")
            rates = sorted({phase.lr_scales[path] for path in trains})
            row.append(" - ".join(f"{rate:.2g}" for rate in dict.fromkeys(rates[:1] + rates[-1:])))
        table.add_row(stage, *row)
    return table


class ProgressLine:
    """One live line: epoch, step, loss, accuracy, images/s, time left; see `LiveLine`."""

    def __init__(self, console: Console, total: int, start: int, seconds: float = 10.0):
        self._total = total
        self._line = LiveLine(console, total, start, "compiling ...", seconds)

    def show(self, step: int, epoch: float, values: dict[str, float]) -> None:
        """Shows how far the run is, with metrics as they are written to the metrics file."""
        text = (
            f"epoch {epoch:.1f}  step {step:,}/{self._total:,}  loss {values['loss']:.4f}  "
            f"accuracy {values['accuracy']:.1%}"
        )
        if values["images_per_s"]:
            text += f"  {values['images_per_s']:,.0f} images/s"
        if step < self._total:
            left = self._line.time_left(step)
            text += f"  {left} left" if values["images_per_s"] else "  compiling"
        self._line.show(step, text)

    def restart_clock(self, step: int) -> None:
        """Begins the estimate of the time left at `step`, since the first step compiles."""
        self._line.restart_clock(step)

    def close(self) -> None:
        self._line.close()


@dataclasses.dataclass(frozen=True)
class Best:
    """The best evaluation so far whose checkpoint is kept.

    Attributes:
      step: The step of the checkpoint.
      score: The watched metric there, with its sign turned where less of it is better.
    """

    step: int
    score: float


def best_kept(run: Run) -> Best | None:
    """Returns the best evaluation of a run so far; None if it had none."""
    step = run.checkpoints.best()
    score = None if step is None else run.checkpoints.score(step)
    return None if step is None or score is None else Best(step, score)


def print_evaluation(
    console: Console,
    config: ConfigDict,
    step: int,
    result: dict[str, float],
    best: Best | None,
    saved: bool,
    member: str = "",
) -> Best | None:
    """Prints an evaluation of the watched split in one line; returns the best one so far.

    Args:
      console: Where it is printed.
      config: The config of the run.
      step: The step of the evaluation.
      result: Its headline metrics.
      best: The best one before it.
      saved: Whether its checkpoint is written: only then can it be the best from now on.
      member: "member 0", ... where several runs train.
    """
    watched = patience.watched(config)
    text = [f"step {step:,}", config.eval.split, f"accuracy {result['accuracy']:.1%}",
            f"macro F1 {result['macro_f1']:.3f}"]  # fmt: skip
    if watched not in result:
        text.append(
            f"{describe(watched).title} is undefined here, so this evaluation does not count"
        )
    elif watched not in ("accuracy", "macro_f1"):
        text.append(f"{describe(watched).title} {result[watched]:.3f}")
    score = sign(watched) * result.get(watched, math.nan)
    if saved and math.isfinite(score) and (best is None or score >= best.score):
        best = Best(step, score)
        text.append(f"best so far, checkpoint {step} kept")
    elif best:
        text.append(f"the best is that of step {best.step:,}")
    console.print("  ".join([member] * bool(member) + text), highlight=False, soft_wrap=True)
    return best
