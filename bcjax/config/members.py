"""What the members of a run differ in: config in, the config of each member out."""

from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

# Lengths that are said in epochs, of which folds differ by a picture, are the first member's.
_LENGTHS = (
    "train.length", "train.log_every", "optim.warmup", "eval.every", "checkpoint.every",
    "finetune.first.length", "finetune.first.warmup",
)  # fmt: skip


def rates(config: ConfigDict) -> list[float]:
    """Returns what the updates of each member are multiplied by.

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
            "config.train.vary=lr varies the rates of all phases: set config.finetune.first.lr=0."
        )
    return [rate / train.lrs[0] for rate in train.lrs]


def member_config(config: ConfigDict, position: int, examples: int | None) -> ConfigDict:
    """Returns the config with which a member would be trained alone.

    Args:
      config: Of all of them.
      position: Of the member, from 0.
      examples: Training pictures of the first member's epoch; None: this is the first.
    """
    own = config.copy_and_resolve_references()
    own.workdir = str(RunDir(config.workdir).member(position))
    own.train.update({"members": 1, "vary": "seed", "lrs": ()})
    if config.train.vary == "seed":
        own.seed = config.seed + position
    elif config.train.vary == "lr":
        own.optim.lr = float(config.train.lrs[position])
    else:
        own.data.update({"folds": config.train.members, "fold": position})
        if examples:
            lengths = {key: _in_steps(config, key, examples) for key in _LENGTHS}
            own.update_from_flattened_dict(lengths)
        if own.data.store in ("auto", "device"):
            own.data.store = "host"  # the devices would hold the pictures once for each member
    return own


def _in_steps(config: ConfigDict, key: str, examples: int) -> str:
    text = configs.flatten(config)[key]
    batch_size = config.train.batch_size
    return f"{configs.steps(text, examples=examples, batch_size=batch_size, key=key)} steps"
