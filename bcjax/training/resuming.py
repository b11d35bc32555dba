"""What may change in a run that goes on: its length with `extend`, some settings with `change`."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.data.prepared import PreparedSet
from bcjax.engine import network, plan
from bcjax.engine.loader import order_of
from bcjax.models.pretrained import files as weight_files
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

# Keys that this module writes, and that a user need not repeat.
WRITTEN = ("train.restarts", "train.shown")

Extend = Literal["stretch", "restart"] | bool


@dataclasses.dataclass(frozen=True)
class Permissions:
    """What the user allows to change in a run that goes on.

    Attributes:
      extend: Whether the run may become longer, and what becomes of a schedule that ends:
        "stretch" computes it over the new length; "restart" begins a new one, with its warm-up,
        over the added steps. True is enough for a schedule that does not end.
      change: Whether the keys that the table of the config marks so (`with_change`) may change.
    """

    extend: Extend = False
    change: bool = False


NOTHING_CHANGES = Permissions()


def check_there_is_a_run(run_dir: RunDir, permissions: Permissions) -> None:
    """Raises UserError if a change is allowed where no run has begun."""
    if permissions != NOTHING_CHANGES and not run_dir.exists():
        flag = "--extend" if permissions.extend else "--change"
        raise UserError(
            f"{run_dir} holds no run that could go on: leave out {flag}, or give the --workdir of "
            "a run."
        )


def agreed(
    config: ConfigDict, run_dir: RunDir, prepared: PreparedSet, permissions: Permissions
) -> ConfigDict:
    """Returns the config with which the run in a folder goes on.

    Args:
      config: The resolved config that is asked for.
      run_dir: The folder, which holds a run.
      prepared: The pictures that the config describes.
      permissions: What may change.

    Raises:
      UserError: If anything else differs; the sentence names it, and the flag that allows it.
    """
    saved = configs.load(run_dir.path)
    config = configs.replaced(config, {key: _kept(key, saved, config) for key in WRITTEN})
    trained_on = run_dir.trained_on()
    other = configs.differences(saved, config)
    for key in _moved(saved, config, run_dir, prepared):
        other.pop(key, None)
    lengthened = {key: other.pop(key) for key in ("train.length",) if key in other}
    changed = {key: other.pop(key) for key in list(other) if configs.KEYS[key].with_change}
    refused = configs.describe(other)
    if trained_on and not trained_on.same_pictures(prepared.as_trained_on()):
        refused.append("the pictures, or their splits")
    hints = []
    if lengthened and not permissions.extend:
        refused += configs.describe(lengthened)
        hints.append("To train longer, add --extend=stretch or --extend=restart.")
    if changed and not permissions.change:
        refused += configs.describe(changed)
        hints.append(f"To go on with another {' and '.join(changed)}, add --change.")
    if refused:
        raise UserError(
            f"{run_dir} holds another run, which differs in {'; '.join(refused)}: give another "
            + " ".join(["--workdir, or the same settings to go on with it.", *hints])
        )
    if "train.batch_size" in changed:
        config = _with_batch_size(saved, config, run_dir, prepared)
    if lengthened:
        config = _lengthened(saved, config, prepared, permissions.extend)
    return config


def _moved(
    saved: ConfigDict, config: ConfigDict, run_dir: RunDir, prepared: PreparedSet
) -> Iterator[str]:
    """Yields the keys whose path may be another one, for it leads to the same content."""
    trained_on = run_dir.trained_on()
    if trained_on and trained_on.same_pictures(prepared.as_trained_on()):
        yield "data.source"
    weights = Path(config.model.weights or "")
    origin = files.read_json(run_dir.weights) if run_dir.weights.exists() else {}
    reference = config.data.stain_sha256
    if reference and saved.data.stain_sha256 is None:  # as version 0.1 wrote it
        yield "data.stain_sha256"
    elif reference and saved.data.stain_sha256 == reference:
        yield "data.stain_reference"
    if weights.is_file() and origin.get("sha256") == weight_files.digest(weights):
        yield "model.weights"


def _kept(key: str, saved: ConfigDict, config: ConfigDict) -> Any:
    return configs.flatten(config)[key] or configs.flatten(saved)[key]


def _with_batch_size(
    saved: ConfigDict, config: ConfigDict, run_dir: RunDir, prepared: PreparedSet
) -> ConfigDict:
    """Returns the config, with the pictures that were shown before the batch size changed."""
    if config.finetune.first.length.partition(" ")[0] not in ("0", "0.0"):
        raise UserError(
            "config.train.batch_size cannot change in a run of two phases (finetune.first): keep "
            f"{saved.train.batch_size}, or begin another run from its weights (model.weights)."
        )
    if not run_dir.checkpoints.exists():
        return config
    steps = network.open_checkpoints(run_dir.path, saved).steps() or [0]
    shown = order_of(saved, prepared).position(steps[-1])
    return configs.replaced(config, {"train.shown": (steps[-1], shown) if steps[-1] else ()})


def _lengthened(
    saved: ConfigDict, config: ConfigDict, prepared: PreparedSet, extend: Extend
) -> ConfigDict:
    """Returns the config of the longer run."""
    examples = order_of(config, prepared).examples
    as_before = configs.replaced(config, {"train.length": saved.train.length})
    before = plan.resolve(as_before, examples, 1).length
    if plan.resolve(config, examples, 1).length <= before:
        raise UserError(
            f"config.train.length is {config.train.length!r}, which is not longer than "
            f"{saved.train.length!r}, the length of the run in {saved.workdir}: give a longer one."
        )
    if extend is True and config.optim.schedule != "constant":
        raise UserError(
            f"The learning rate's schedule, {config.optim.schedule}, ends with the run: say "
            "--extend=stretch, which computes it over the new length, or --extend=restart, which "
            "begins a new one over the added steps."
        )
    if extend == "restart":
        config = configs.replaced(config, {"train.restarts": (*config.train.restarts, before)})
    return config
