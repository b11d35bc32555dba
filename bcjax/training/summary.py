"""What a person reads before the first step: what is about to happen, and where."""

import itertools

import jax
from flax import traverse_util
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from bcjax.engine import state as states
from bcjax.engine import trainable
from bcjax.training.run import Run

_INDENT = 12  # of what stands beside a name


def show(run: Run, console: Console) -> None:
    """Prints devices, mesh, pictures per class and split, network, what trains, and workdir."""

    def say(name: str, text: str) -> None:
        console.print(f"{name:<{_INDENT}}{text}", highlight=False, soft_wrap=True)

    config, plan = run.config, run.plan
    devices = jax.devices()
    shape = " x ".join(f"{axis} {size}" for axis, size in run.mesh.shape.items())
    say("devices", f"{len(devices)} x {devices[0].device_kind}, mesh {shape}")
    if jax.process_count() > 1:
        say("", f"{jax.process_count()} processes")
    say("pictures", str(run.prepared.path))
    say("", f"{config.data.image_size} px, {run.store} store ({run.why_store})")
    for note in run.prepared.notes:
        say("", note)
    counts = run.prepared.counts
    width = max(len(name) for name in run.classes)
    say("", f"{'':<{width}}" + "".join(f"{split:>8}" for split in counts))
    for label, name in enumerate(run.classes):
        row = "".join(f"{by_label[label]:>8,}" for by_label in counts.values())
        say("", f"{name:<{width}}{row}")
    size = states.parameter_count(run.state)
    say("model", f"{config.model.name}, {size:,} parameters, {config.model.dtype}")
    if config.model.weights:
        say("", f"from {config.model.weights}")
    for note in run.weights_notes:
        say("", note)
    everything = all(rate == 1 for phase in run.phases for rate in phase.rates.values())
    say("trains", "all of them" if everything else "these, at their share of the learning rate:")
    if not everything:
        console.print(Padding.indent(_what_trains(run), _INDENT))
    if not config.model.weights and any(phase.frozen.parameters for phase in run.phases):
        say("", "What is frozen is as chance made it: config.model.weights would name weights.")
    for phase in run.phases:
        length = phase.config.train.length
        say(
            "run" if phase.position == 0 else "then",
            f"{phase.plan.length:,} steps of {config.train.batch_size} pictures ({length}), "
            f"{plan.steps_per_call} per call, {config.optim.name}"
            + (", on features computed once" if phase.caches_features else ""),
        )
    say("written to", str(run.workdir) + (f", resumed at step {run.step:,}" if run.resumed else ""))


def _what_trains(run: Run) -> Table:
    """Returns a row for each stage: parameters, how many train in each phase, at which rates."""
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("parameters", justify="right")
    for phase in run.phases:
        of = f"phase {phase.position + 1}" if len(run.phases) > 1 else "train"
        table.add_column(of, justify="right")
        table.add_column("lr x", justify="right")
    params = traverse_util.flatten_dict(run.state.params, sep="/")
    for stage, group in itertools.groupby(run.phase.rates, trainable.stage_of):
        paths = list(group)
        row = [f"{sum(params[path].size for path in paths):,}"]
        for phase in run.phases:
            trains = [path for path in paths if phase.rates[path]]
            row.append(f"{sum(params[path].size for path in trains):,}")
            rates = sorted({phase.rates[path] for path in trains})
            row.append(" - ".join(f"{rate:.2g}" for rate in dict.fromkeys(rates[:1] + rates[-1:])))
        table.add_row(stage, *row)
    return table
