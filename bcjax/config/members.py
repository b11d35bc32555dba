"""What the members of a run differ in: config in, the config of each member out."""

from typing import Any

from ml_collections import ConfigDict

from bcjax.config.lengths import resolve_length
from bcjax.config.table import LENGTHS
from bcjax.config.tree import flatten, replaced
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir


def rates(config: ConfigDict) -> list[float]:
    """Returns the factor on the updates of each member.

    Raises:
      UserError: If the members are not what can be trained together.
    """
    train, data = config.train, config.data
    if config.finetune.first.patience:
        raise UserError(
            "Members go from phase to phase together: set config.finetune.first.patience=0."
        )
    if train.vary == "fold" and data.folds not in (0, train.members):
        raise UserError(
            f"config.data.folds is {data.folds}, but there are {train.members} members, one for "
            "each fold: give the same number, or leave data.folds out."
        )
    if train.vary == "fold" and train.members < 2:
        raise UserError("Cross-validation needs two folds or more: set config.train.members=5.")
    if train.vary != "lr":
        return [1.0] * train.members
    if len(train.lrs) != train.members or not all(rate > 0 for rate in train.lrs):
        raise UserError(
            f"config.train.lrs is {tuple(train.lrs)}: give {train.members} learning rates, one "
            'for each member, such as "(1e-4, 3e-4)".'
        )
    if config.finetune.first.lr:
        raise UserError(
            "config.train.vary=lr varies the rates of all phases: leave out "
            "config.finetune.first.lr, or set it to none."
        )
    return [rate / train.lrs[0] for rate in train.lrs]


def member_config(config: ConfigDict, position: int, examples: int | None) -> ConfigDict:
    """Returns the config with which a member would be trained alone.

    Args:
      config: The config of the whole run.
      position: The position of the member, counted from 0.
      examples: Training pictures of the first member's epoch; None: this is the first.
    """
    train, data = config.train, config.data
    changes: dict[str, Any] = {
        "workdir": str(RunDir(config.workdir).member(position)),
        "train.members": 1,
        "train.vary": "seed",
        "train.lrs": (),
    }
    if train.vary == "seed":
        changes["seed"] = config.seed + position
    elif train.vary == "lr":
        changes["optim.lr"] = train.lrs[position]
    else:
        changes |= {"data.folds": train.members, "data.fold": position}
        if examples:
            # The folds differ by a picture, and so would lengths in epochs: all have the first's.
            changes |= {key: _in_steps(config, key, examples) for key in LENGTHS}
        if data.store in ("auto", "device"):
            changes["data.store"] = "host"  # devices would hold the pictures for each member
    return replaced(config, changes)


def _in_steps(config: ConfigDict, key: str, examples: int) -> str:
    text, batch_size = flatten(config)[key], config.train.batch_size
    return f"{resolve_length(text, examples=examples, batch_size=batch_size, key=key)} steps"
