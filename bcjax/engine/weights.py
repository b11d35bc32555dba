"""Weights from a file or another run: reading, fitting to a network, starting a run from them."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax import models
from bcjax.config import ImageSize
from bcjax.data.ancestry import Ancestry
from bcjax.engine import network, published
from bcjax.engine.state import State, Variables
from bcjax.models import initialisers
from bcjax.models.pretrained import convert, families, layer_order
from bcjax.models.pretrained import files as weight_files
from bcjax.models.pretrained.naming import Naming, Rule, Tensors
from bcjax.runtime import files
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

# Keys of the config that weights set where the user does not, by their names in this file.
SETTINGS = {
    "resize": "data.resize", "crop_fraction": "data.crop_fraction",
    "convention": "model.convention", "norm": "model.norm", "epsilon": "model.epsilon",
    "mean": "model.mean", "std": "model.std", "widths": "model.widths", "depths": "model.depths",
    "kernel_size": "model.kernel_size", "squeeze": "model.squeeze",
}  # fmt: skip

_OURS = Naming(
    source="bcjax",
    convention="torch",  # a file of bcjax does not say: see `_opened`
    rules=(
        Rule("params/{rest:*}", "params/{rest}"),
        Rule("batch_stats/{rest:*}", "batch_stats/{rest}"),
    ),
    orient=lambda path, tensor: tensor,
)


@dataclasses.dataclass(frozen=True)
class ImportedWeights:
    """Weights in the tree of a network.

    Attributes:
      variables: Float32 arrays in the network's tree; the classifier only if it was kept.
      config: The config of the network, completed with the settings that these weights need.
      classes: Names of the logits that were kept, where they are known.
      outputs: The number of logits that were kept; 0: the classifier was dropped.
      input_size: The size of the pictures that the weights were trained with.
      origin: Plain values for weights.json: the file, its kind and digest, the library whose names
        its tensors have, and how many there are.
      notes: What was changed on the way that the user should know, in plain sentences.
      ancestry: The pictures that made them, as far as they are known.
    """

    variables: Variables
    config: ConfigDict
    classes: tuple[str, ...]
    outputs: int
    input_size: ImageSize
    origin: dict[str, Any]
    notes: tuple[str, ...]
    ancestry: Ancestry


@dataclasses.dataclass(frozen=True)
class _WeightSource:
    """The tensors at a path, before it is known whether they fit the network.

    Attributes:
      tensors: The tensors by their names in the file.
      naming: The library whose names they have; None: they stand in the order of the layers.
      settings: Settings that the tensors and the files beside them state, by keys of `SETTINGS`.
      classes: Names of the logits; () where they are not stated.
      input_size: As in `ImportedWeights`.
      origin: As in `ImportedWeights`.
    """

    tensors: Tensors
    naming: Naming | None
    settings: dict[str, Any]
    classes: tuple[str, ...]
    input_size: ImageSize
    origin: dict[str, Any]

    @property
    def outputs(self) -> int:
        """The number of logits without a background class; 0: there is no classifier."""
        found = list(self.tensors)[-1:]
        tensors = self.tensors
        if self.naming:
            tensors = self.naming.prepare(tensors)
            found = [name for name in tensors if self.naming.place(name) == convert.LOGITS[1]]
        count = tensors[found[0]].shape[-1] if found else 0
        return count - 1 if count == convert.BACKGROUND else count


def read(path: Path, config: ConfigDict, classes: int = 0) -> ImportedWeights:
    """Reads weights for the network that a config describes.

    Args:
      path: A file of weights, a folder in Hugging Face's layout, or the folder of a run.
      config: The config that names the network and its options. The weights set what it leaves
        open, including the size of pictures where that is 0. `model.weights_head` says whether
        their classifier is kept.
      classes: The number of classes; 0: as many as the weights have.

    Raises:
      UserError: If the file cannot be read, or its tensors are not those of the network, or one
        of them is not finite.
    """
    keep = config.model.weights_head == "keep"
    network.build(config, 2)  # checks the name and the options first
    source = _opened(path, config.model.name)
    config = _resolved(config, source)
    model = network.build(config, classes or source.outputs or 2)
    size, made_at = ImageSize.of(config.data.image_size), source.input_size
    holds = convert.network_tensors(model, size, config.model.channels)
    if source.naming is None:
        fitting = layer_order.place(source.tensors, holds, config.model.name, str(path), keep=keep)
    else:
        fitting = convert.place_by_name(source.naming, source.tensors, holds.blocks, str(path))
    convert.fold_biases(fitting, holds)
    convert.choose_classifier(fitting, holds, keep=keep)
    convert.fit(fitting, holds)
    new = () if keep else (*holds.classifier, "params/head/")
    optional = [path for path in holds.shapes if path.startswith(new)]
    convert.check(fitting, holds, model=config.model.name, optional=optional)
    with np.errstate(over="ignore"):  # what float32 cannot hold is named
        arrays = {p: np.ascontiguousarray(t, np.float32) for p, t in fitting.tensors.items()}
    for place, array in arrays.items():
        if not np.isfinite(array).all():
            what = "NaN" if np.isnan(array).any() else "infinity, or a number beyond float32"
            raise UserError(
                f"{path} holds {what} in {fitting.named(place)}: save weights from before the "
                "training diverged."
            )
    variables = traverse_util.unflatten_dict(arrays, sep="/")
    outputs = holds.shapes[holds.classifier[0]][-1] if keep else 0
    named = source.classes[-outputs:] if len(source.classes) - outputs in (0, 1) else ()
    if made_at != size:
        fitting.notes.append(
            f"They were made with pictures of {made_at} px; here they have {size}."
        )
    return ImportedWeights(
        variables={"params": variables.get("params", {}),
                   "batch_stats": variables.get("batch_stats", {})},
        config=config,
        classes=named if keep else (),
        outputs=outputs,
        input_size=made_at,
        origin=source.origin,
        notes=tuple(fitting.notes),
        ancestry=Ancestry.of_weights(
            Path(source.origin["file"]), ours=source.naming is _OURS, classifier=keep
        ),
    )  # fmt: skip


def _opened(path: Path, model: str) -> _WeightSource:
    if RunDir(path).exists() and (RunDir(path).checkpoints.exists() or published.is_here(path)):
        return _open_run(path)
    path = weight_files.find(path)
    tensors, kind = weight_files.read(path)
    origin = {"file": str(path.absolute()), "kind": kind, "sha256": weight_files.digest(path),
              "tensors": len(tensors)}  # fmt: skip
    beside = weight_files.settings_beside(path)
    naming: Naming | None
    if any(_OURS.place(name) for name in tensors):
        naming, settings = _OURS, beside
    elif naming := families.best(families.namings(model), tensors):
        in_file = naming.settings_in(tensors)
        settings = {"convention": naming.convention, **naming.settings, **in_file, **beside}
    elif kind == "npz" and not families.recognised(tensors):
        settings = {**layer_order.settings(tensors), **beside}
    else:
        raise UserError(f"{path} does not hold weights of {model}: {_whose(tensors, model)}.")
    return _WeightSource(
        tensors,
        naming,
        settings,
        classes=weight_files.classes_beside(path),
        input_size=ImageSize.of(settings.get("input_size") or models.MODELS[model].input_size),
        origin=origin | {"names": naming.source if naming else "none: the order of the layers"},
    )


def _whose(tensors: Tensors, model: str) -> str:
    """Returns whose weights those with unknown names may be, and what would do."""
    if whose := families.recognised(tensors):
        return f"they look like {whose}; name their network"
    first = f"its first tensor is {next(iter(tensors), 'missing')}"
    if families.namings(model):
        return f"{first}; name their network"
    return (
        f"{first}, and bcjax knows no library's names for this network; give a run of bcjax, or an "
        ".npz of its arrays in the order of the layers"
    )


def _open_run(workdir: Path) -> _WeightSource:
    trained = network.load(workdir, "best", meshes.create())
    tensors = traverse_util.flatten_dict(jax.device_get(trained.variables), sep="/")
    of = trained.config
    flat = configs.flatten(of)
    settings = {key: flat[name] for key, name in SETTINGS.items()}
    origin = {"file": str(workdir.absolute()), "kind": "a run of bcjax", "step": trained.step,
              "tensors": len(tensors), "names": _OURS.source}  # fmt: skip
    size = ImageSize.of(of.data.image_size)
    return _WeightSource(tensors, _OURS, settings, trained.classes, size, origin)


def _resolved(config: ConfigDict, source: _WeightSource) -> ConfigDict:
    """Returns the config, completed with the settings of the weights where it states none."""
    size = config.data.image_size or source.input_size.stated
    config = configs.replaced(config, {"data.image_size": size}).copy_and_resolve_references()
    entry = models.MODELS[config.model.name]
    settings = dict(source.settings)
    if config.data.resize not in (None, settings.get("resize")):
        settings.pop("crop_fraction", None)  # it belongs to the resize of the weights
    for key, name in SETTINGS.items():
        branch, leaf = name.split(".")
        value = settings.get(key)
        is_option = branch == "model" and key not in ("mean", "std")
        if (
            value is None
            or config[branch][leaf] is not None
            or (is_option and key not in entry.options)
        ):
            continue
        if key in ("mean", "std") and len(value) != config.model.channels:
            value = network.per_channel(value, config)
        config[branch][leaf] = value
    return config


def settings_of_run(
    config: ConfigDict, workdir: Path | None, classes: Sequence[str]
) -> tuple[dict[str, Any], ImportedWeights | None]:
    """Returns the settings that a run's weights need, by flat key, and the weights.

    A run that is resumed takes the settings from its own saved config: the weights are not needed
    again, and None is returned for them. So it is for a run that names no weights, which only keeps
    the layout of its network if that is another one by now.

    Args:
      config: The config; `model.weights` names the weights, if any.
      workdir: The folder of the run; None: it has none yet.
      classes: The class names of the run's pictures.

    Raises:
      UserError: If the weights cannot be read or are not those of the network.
    """
    keys = (
        SETTINGS.values()
        if config.model.weights
        else configs.OLD_NETWORKS.get(config.model.name, ())
    )
    if workdir and RunDir(workdir).exists():
        imported, complete = None, configs.load(workdir)
    elif config.model.weights:
        imported = _read_for(config, classes)
        complete = imported.config
    else:
        return {}, None
    flat = configs.flatten(complete)
    return {key: flat[key] for key in keys}, imported


def initial_state(
    state: State, config: ConfigDict, classes: Sequence[str], imported: ImportedWeights | None
) -> State:
    """Returns the state of step 0 with weights in place of the random initial values.

    Args:
      state: The state of step 0 with random parameters.
      config: The resolved config of the run.
      classes: The class names of the run's pictures.
      imported: The weights; None: they are read now, if the config names any.

    Raises:
      UserError: As `settings_of_run`.
    """
    if not config.model.weights:
        return state
    new = (imported or _read_for(config, classes)).variables
    return state.replace(
        params=_replaced(state.params, new["params"]),
        batch_stats=_replaced(state.batch_stats, new["batch_stats"]),
        ema={part: _replaced(tree, new[part]) for part, tree in state.ema.items()},
    )


def _read_for(config: ConfigDict, classes: Sequence[str]) -> ImportedWeights:
    imported = read(Path(config.model.weights), config, len(classes))
    if imported.classes and imported.classes != tuple(classes):
        raise UserError(
            f"{config.model.weights} tells {', '.join(imported.classes[:3])}, ... apart, not "
            f"{', '.join(classes[:3])}, ...: drop its classifier (model.weights_head=drop), or "
            "set data.classes."
        )
    return dataclasses.replace(imported, notes=(*imported.notes, *_resizing(config, imported)))


def _resizing(config: ConfigDict, imported: ImportedWeights) -> Iterator[str]:
    """Yields how pictures are resized, and whether config or weights say so."""
    data = imported.config.data
    if data.resize is not None:
        share = f" of {data.crop_fraction or 1:g} of the shorter side" * (data.resize == "crop")
        whose = "the weights want" if config.data.resize is None else "the config says"
        yield f"Pictures are resized by a {data.resize}{share}, as {whose}."


def _replaced(tree: Variables, new: Variables) -> Variables:
    """Replaces the leaves of the same paths; each array goes to the devices of the one before."""
    flat = traverse_util.flatten_dict(tree)
    for path, array in traverse_util.flatten_dict(new).items():
        sharding = flat[path].sharding
        flat[path] = jax.make_array_from_callback(array.shape, sharding, array.__getitem__)
    return traverse_util.unflatten_dict(flat)


def write(imported: ImportedWeights, workdir: Path, classes: Sequence[str]) -> None:
    """Writes imported weights as the folder of a run at step 0, which every command takes.

    A classifier that was dropped is initialised at random.

    Args:
      imported: The weights, from `read`.
      workdir: The folder to make.
      classes: The class names, in the order of the logits.

    Raises:
      UserError: If the folder is not empty.
    """
    network.check_free(workdir)
    config = network.resolve(imported.config)
    config = configs.replaced(config, {"data.classes": tuple(classes)})
    model = network.build(config, len(classes))
    size, channels = ImageSize.of(config.data.image_size), config.model.channels
    meshes.check_memory(meshes.create(), 1, size)
    new = _initial_head(model, np.zeros((1, *size, channels), np.float32), config.seed)
    params = traverse_util.flatten_dict(new) | traverse_util.flatten_dict(
        imported.variables["params"]
    )
    variables = imported.variables | {"params": traverse_util.unflatten_dict(params)}
    workdir.mkdir(parents=True, exist_ok=True)
    write_origin(imported, workdir)
    network.write_run(config, variables, classes, workdir, imported.ancestry)


def write_origin(imported: ImportedWeights, workdir: Path) -> None:
    """Writes weights.json: where the weights of a run come from, and what was changed in them."""
    page = imported.origin | {
        "input_size": imported.input_size.stated,
        "notes": list(imported.notes),
    }
    files.write_json(RunDir(workdir).weights, page)


def _initial_head(model: nn.Module, pictures: np.ndarray, seed: int) -> Variables:
    """Makes the random parameters of a new classifier, {"head": ...}."""

    def init() -> Variables:
        key = jax.random.key(seed)
        features, _ = model.init_with_output(key, pictures, train=False, method="features")
        return initialisers.variables(
            model, key, jnp.zeros_like(features), train=False, method="classify"
        )["params"]

    # Only the shape of the features is used, so the compiler leaves out what computes them.
    return jax.jit(init)()
