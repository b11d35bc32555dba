"""What a person reads before the first step: what is about to happen, and where."""

import jax
from rich.console import Console

from bcjax import state as states
from bcjax.run import Run


def show(run: Run, console: Console) -> None:
    """Prints devices, mesh, pictures per class and split, network, length and workdir."""

    def say(name: str, text: str) -> None:
        console.print(f"{name:<11} {text}", highlight=False, soft_wrap=True)

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
    size = states.parameter_count(run.abstract)
    say("model", f"{config.model.name}, {size:,} parameters, {config.model.dtype}")
    say(
        "run",
        f"{plan.total:,} steps of {config.train.batch_size} pictures ({config.train.length}), "
        f"{plan.steps_per_call} per call, {config.optim.name}",
    )
    say("written to", str(run.workdir) + (f", resumed at step {run.step:,}" if run.resumed else ""))
