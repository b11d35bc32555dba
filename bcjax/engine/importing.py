"""From weights on disk to the variables of a network, and what belongs to them."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax import models
from bcjax.engine import network
from bcjax.engine.state import Variables
from bcjax.models.pretrained import convert, families, files
from bcjax.models.pretrained.naming import Naming, Rule, Tensors
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

# Keys of the config that weights decide where the user does not; by their names here.
SETTINGS = {
    "resize": "data.resize", "crop_fraction": "data.crop_fraction",
    "convention": "model.convention", "norm": "model.norm", "epsilon": "model.epsilon",
    "mean": "model.mean", "std": "model.std",
}  # fmt: skip

_OURS = Naming(
    source="bcjax",
    convention="torch",  # not said: see `_opened`
    rules=(Rule(r"((?:params|batch_stats)/.+)", lambda path: path),),
    orient=lambda path, tensor: tensor,
)


@dataclasses.dataclass(frozen=True)
class Imported:
    """Weights, as a network takes them.

    Attributes:
      variables: Float32 arrays in the network's tree; the classifier only if it was kept.
      config: Of the network, with what these weights decide.
      classes: Names of the logits that were kept, where they are known.
      outputs: Number of logits that were kept; 0: the classifier was dropped.
      input_size: Side in pixels of the pictures that they were made with, as far as it is known.
      origin: Plain values: the file, its kind and digest, whose names it had, how many tensors.
      notes: What was done that the user should know, in plain sentences.
    """

    variables: Variables
    config: ConfigDict
    classes: tuple[str, ...]
    outputs: int
    input_size: int
    origin: dict[str, Any]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Source:
    """What was found at a path, before it is known whether it fits.

    Attributes:
      tensors: By their names there.
      naming: Of the tensors; None: they stand in the order of the layers.
      settings: What the tensors and the pages beside them say, by the keys of `SETTINGS`.
      classes: Names of the logits; () where they are not said.
      input_size: As in `Imported`.
      origin: As in `Imported`.
    """

    tensors: Tensors
    naming: Naming | None
    settings: dict[str, Any]
    classes: tuple[str, ...]
    input_size: int
    origin: dict[str, Any]

    @property
    def outputs(self) -> int:
        """Number of logits, without a background; 0: there is no classifier."""
        found = list(self.tensors)[-1:]
        tensors = self.tensors
        if self.naming:
            tensors = self.naming.prepare(tensors)
            found = [name for name in tensors if self.naming.place(name) == convert.LOGITS[1]]
        count = tensors[found[0]].shape[-1] if found else 0
        return count - 1 if count == convert.BACKGROUND else count


def read(path: Path, config: ConfigDict, classes: int = 0) -> Imported:
    """Reads weights for the network that a config describes.

    Args:
      path: A file of weights, a folder of Hugging Face's, or the folder of a run of bcjax.
      config: Names the network, its options and the pictures; what it leaves open, the weights
        decide, also the size of pictures where that is 0. `model.weights_head` says whether their
        classifier is kept.
      classes: Number of logits; 0: as many as the weights have.

    Raises:
      UserError: If the file cannot be read, or its tensors are not those of the network.
    """
    keep = config.model.weights_head == "keep"
    network.build(config, 2)  # a name or an option that does not exist is said first
    source = _opened(path, config.model.name)
    config = _resolved(config, source)
    model = network.build(config, classes or source.outputs or 2)
    holds = convert.network_tensors(model, config.data.image_size, config.model.channels)
    if source.naming is None:
        fitting = convert.place_by_order(source.tensors, holds, config.model.name, str(path))
    else:
        fitting = convert.place_by_name(source.naming, source.tensors, holds.blocks, str(path))
    convert.fold_biases(fitting, holds)
    convert.choose_classifier(fitting, holds, keep=keep)
    convert.fit(fitting, holds)
    optional = [p for p in holds.shapes if p.startswith("params/head/") and not keep]
    convert.check(fitting, holds, model=config.model.name, optional=optional)
    arrays = {p: np.ascontiguousarray(t, np.float32) for p, t in fitting.tensors.items()}
    variables = traverse_util.unflatten_dict(arrays, sep="/")
    outputs = holds.shapes[convert.LOGITS[1]][0] if keep else 0
    named = source.classes[-outputs:] if len(source.classes) - outputs in (0, 1) else ()
    made_at, side = source.input_size, config.data.image_size
    if made_at != side:
        fitting.notes.append(
            f"They were made with pictures of {made_at} px; here they have {side}."
        )
    return Imported(
        variables={"params": variables.get("params", {}),
                   "batch_stats": variables.get("batch_stats", {})},
        config=config,
        classes=named if keep else (),
        outputs=outputs,
        input_size=made_at,
        origin=source.origin,
        notes=tuple(fitting.notes),
    )  # fmt: skip


def _opened(path: Path, model: str) -> _Source:
    if RunDir(path).exists() and RunDir(path).checkpoints.exists():
        return _open_run(path)
    path = files.find(path)
    tensors, kind = files.read(path)
    origin = {"file": str(path.absolute()), "kind": kind, "sha256": files.digest(path),
              "tensors": len(tensors)}  # fmt: skip
    said = files.settings_beside(path)
    naming: Naming | None
    if any(_OURS.place(name) for name in tensors):
        naming, settings = _OURS, said
    elif naming := families.best(families.namings(model), tensors):
        in_file = naming.settings_in(tensors)
        settings = {"convention": naming.convention, **naming.settings, **in_file, **said}
    elif kind == "npz":
        settings = {**convert.ordered_settings(tensors), **said}
    else:
        whose = families.recognised(tensors)
        hint = f"they look like {whose}" if whose else f"its first tensor is {next(iter(tensors))}"
        raise UserError(f"{path} does not hold weights of {model}: {hint}; name their network.")
    return _Source(
        tensors,
        naming,
        settings,
        classes=files.classes_beside(path),
        input_size=settings.get("input_size") or models.MODELS[model].input_size,
        origin=origin | {"names": naming.source if naming else "none: the order of the layers"},
    )


def _open_run(workdir: Path) -> _Source:
    trained = network.load(workdir, "best", meshes.create())
    tensors = traverse_util.flatten_dict(jax.device_get(trained.variables), sep="/")
    of = trained.config
    said = configs.flatten(of)
    settings = {key: said[name] for key, name in SETTINGS.items()}
    origin = {"file": str(workdir.absolute()), "kind": "a run of bcjax", "step": trained.step,
              "tensors": len(tensors), "names": _OURS.source}  # fmt: skip
    return _Source(tensors, _OURS, settings, trained.classes, of.data.image_size, origin)


def _resolved(config: ConfigDict, source: _Source) -> ConfigDict:
    """Returns the config with what the weights say where it says nothing itself."""
    config = config.copy_and_resolve_references()
    entry = models.MODELS[config.model.name]
    config.data.image_size = config.data.image_size or source.input_size
    for key, name in SETTINGS.items():
        branch, leaf = name.split(".")
        value = source.settings.get(key)
        is_option = key in ("convention", "norm", "epsilon")
        if (
            not value
            or config[branch][leaf] is not None
            or (is_option and key not in entry.options)
        ):
            continue
        if key in ("mean", "std") and len(value) != config.model.channels:
            value = network.per_channel(value, config)
        config[branch][leaf] = value
    return config
