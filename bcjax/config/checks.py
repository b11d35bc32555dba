"""Whether a config is one that can be trained; what depends on the pictures is checked later."""

from pathlib import Path

from ml_collections import ConfigDict

from bcjax.config.key import PATH, SEED
from bcjax.config.table import KEYS
from bcjax.config.tree import flatten, replaced
from bcjax.config.values import check_value, convert
from bcjax.runtime import plugins
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir


def check(config: ConfigDict) -> ConfigDict:
    """Returns a config with its paths resolved, if each value is one that its key may have.

    The modules of `config.imports` are imported first: what they register may be chosen.

    Args:
      config: It stays as it is.

    Raises:
      UserError: Naming the first key whose value is not, and what it may be; or a remote path, or a
        module of `config.imports` that cannot be imported.
    """
    check_value("imports", config.imports)
    plugins.load(config.imports)
    leaves = flatten(config)
    sides = {name: convert(name, leaves[name]) for name, key in KEYS.items() if key.kind.alone}
    leaves |= sides
    for name in KEYS:
        check_value(name, leaves[name])
    paths = [name for name, key in KEYS.items() if key.kind is PATH]
    config = replaced(config, sides | {name: leaves[name] for name in paths})
    _check_workdir(config)
    _check_channels(config.model)
    if len(config.train.shown) not in (0, 2):
        raise UserError(
            f"config.train.shown is {config.train.shown}: write a step and a number of pictures."
        )
    _check_folds(config.data)
    _check_colours(config.data)
    _check_stain(config.data)
    last_seed = config.seed + config.train.members - 1
    if config.train.vary == "seed" and last_seed not in SEED:
        raise UserError(
            f"config.seed is {config.seed}, and the last of {config.train.members} members would "
            f"have {last_seed}: it must be {SEED}."
        )
    under = config.checkpoint.best_under
    if under and under not in config.eval.also:
        raise UserError(
            f"config.checkpoint.best_under is {under!r}, under which nothing is evaluated: add it "
            "to config.eval.also."
        )
    if config.train.batch_size % config.optim.accumulate:
        raise UserError(
            f"config.train.batch_size {config.train.batch_size} cannot be divided into "
            f"config.optim.accumulate = {config.optim.accumulate} equal micro-batches."
        )
    return config


def check_source(data: ConfigDict, flag: str = "--config.data.source") -> None:
    """Refuses a config that names no pictures.

    Args:
      data: The config's `data` branch.
      flag: The flag of the command that names them.

    Raises:
      UserError: It says how they are named.
    """
    if not data.source:
        raise UserError(
            f"Give the pictures: {flag}=FOLDER, or data.source in Python; data.source=synthetic "
            "draws cells to try things on."
        )


def _check_workdir(config: ConfigDict) -> None:
    if not (config.workdir and config.data.source) or RunDir(config.workdir).exists():
        return
    source = Path(config.data.source)
    if source.is_dir() and Path(config.workdir).resolve().is_relative_to(source.resolve()):
        raise UserError(
            f"config.workdir is {config.workdir}, in the folder of the pictures "
            f"({config.data.source}), where its files would be taken for some: give a folder "
            "outside it."
        )


def _check_channels(model: ConfigDict) -> None:
    for key in ("mean", "std"):
        if model[key] is not None and len(model[key]) != model.channels:
            raise UserError(f"config.model.{key} is {model[key]}: give one for each channel.")


def _check_folds(data: ConfigDict) -> None:
    if data.folds == 1:
        raise UserError("config.data.folds is 1: write 2 or more, or 0 for none.")
    if data.fold >= max(data.folds, 1):
        raise UserError(
            f"config.data.fold is {data.fold}, but config.data.folds is {data.folds}: the folds "
            "are counted from 0."
        )


def _check_colours(data: ConfigDict) -> None:
    if any(low > high for low, high in zip(data.mask_low, data.mask_high, strict=True)):
        raise UserError(
            f"config.data.mask_low is {data.mask_low}, above config.data.mask_high, "
            f"{data.mask_high}: nothing is between them."
        )


def _check_stain(data: ConfigDict) -> None:
    if data.stain_reference and not data.stain:
        raise UserError(
            "config.data.stain_reference is given, but no method: set config.data.stain to "
            "reinhard or macenko."
        )
    if data.stain_reference and not Path(data.stain_reference).is_file():
        raise UserError(
            f"config.data.stain_reference is {data.stain_reference!r}, where there is no file: "
            "give the path of a picture."
        )
