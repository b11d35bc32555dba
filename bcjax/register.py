"""Networks, augmentations, optimizers, ... of your own, by a decorator and without a fork.

Write a module, say my_cells/networks.py:

    import bcjax

    @bcjax.register.network("tiny_net", input_size=32)
    class TinyNet(bcjax.models.ImageClassifier):
        ...

and name it in the config, `config.imports = ("my_cells.networks",)`. Then "tiny_net" is a value of
`config.model.name` like any other, from Python and on the command line. The run remembers its
imports, so that `evaluate`, `predict`, ... find the network again. A package that is installed may
declare its modules as entry points of the group "bcjax.plugins" instead; they need not be named.

A name that bcjax has itself is refused. One that you have registered before is replaced, so that a
cell of a notebook can be run again.
"""

from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.augment import Argument
    from bcjax.augment.op import Draw
    from bcjax.data.sources import SourceRequest

T = TypeVar("T", bound=Callable)
Decorator = Callable[[T], T]

_registered: set[tuple[str, str]] = set()  # kind and name of everything registered here


def network(
    name: str,
    *,
    input_size: int = 96,
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
    std: tuple[float, float, float] = (0.229, 0.224, 0.225),
    stages: tuple[str, ...] = (),
    paper: str = "",
) -> Decorator:
    """Registers a network: a `bcjax.models.ImageClassifier` with the fields `classes` and `dtype`.

    The keys of `config.model` set the fields of the same name that have a default, such as
    `dropout`.

    Examples:
      >>> @bcjax.register.network("tiny_net", input_size=32)         # doctest: +SKIP
      ... class TinyNet(bcjax.models.ImageClassifier):
      ...     classes: int
      ...     dtype: Any = jnp.float32

    Args:
      name: A value of `config.model.name`.
      input_size: Side in pixels of the images that it was published with.
      mean: Mean of each channel, which is subtracted from images in 0..1.
      std: Standard deviation of each channel, by which images are divided.
      stages: The top-level names of its parameters, from the image to the logits.
      paper: Where it was published.

    Raises:
      UserError: If bcjax has a network of that name, or a number is out of its range.
    """
    from bcjax import config
    from bcjax.models import MODELS, NetworkInfo

    config.check_argument("input_size", input_size, like="data.image_size")
    config.check_argument("mean", tuple(mean), like="model.mean")
    config.check_argument("std", tuple(std), like="model.std")

    def register(module: T) -> T:
        info = NetworkInfo(
            module, input_size=input_size, stages=stages, paper=paper, mean=mean, std=std
        )
        _add("network", name, info, MODELS)
        return module

    return register


def augmentation(
    name: str,
    magnitude: "Argument",
    *,
    draw: "Draw" = "up_to",
    geometric: bool = False,
    options: "Mapping[str, Argument] | None" = None,
    paper: str = "",
) -> Decorator:
    """Registers an augmentation of one image: `(key, image, strength, **options) -> image`.

    The image is a float array (H, W, C) in 0..1, before and after; at strength 0 it must stay the
    same. `config.augment.ops = ("flip", "fade(0.3, p=0.5)")` then applies "fade".

    Examples:
      >>> @bcjax.register.augmentation("fade", bcjax.augment.Argument(0.2, 0, 1))  # doctest: +SKIP
      ... def fade(key, image, strength):
      ...     return image + strength * (1 - image)

    Args:
      name: As it is written in `config.augment.ops`: a Python identifier.
      magnitude: Default and bounds of the number in brackets.
      draw: How the strength follows from the magnitude m: "up_to", evenly from [0, m]; "signed",
        evenly from [-m, m]; "exact" and "share", m itself.
      geometric: Whether the function is `(key, strength, (H, W), **options) -> matrix` instead, see
        `bcjax.augment.Op`.
      options: Defaults and bounds of further numbers.
      paper: Where it was published.

    Raises:
      UserError: If bcjax has an augmentation of that name, or it is no identifier.
    """
    from bcjax import augment

    def register(function: T) -> T:
        if ("augmentation", name) in _registered:
            del augment.OPS[name]
        op = augment.Op(function, magnitude, draw, paper, geometric, options=options or {})
        augment.register(name, op)
        _note("augmentation", name)
        return function

    return register


def optimizer(name: str) -> Decorator:
    """Registers an optimizer: `(config.optim) -> optax.GradientTransformation`.

    The transformation turns gradients into a direction; clipping, weight decay (added to the
    gradient) and the learning rate are put around it.

    Examples:
      >>> @bcjax.register.optimizer("sign")                          # doctest: +SKIP
      ... def sign(config):
      ...     return optax.scale_by_sign()

    Args:
      name: A value of `config.optim.name`.

    Raises:
      UserError: If bcjax has an optimizer of that name.
    """
    from bcjax.engine.optimizer import OPTIMIZERS

    return _function("optimizer", name, OPTIMIZERS, "optim.name")


def schedule(name: str) -> Decorator:
    """Registers a schedule: `(config.optim, total_steps, warmup_steps) -> optax.Schedule`.

    Step 0 of the schedule is the first step after the warm-up.

    Examples:
      >>> @bcjax.register.schedule("sqrt")                           # doctest: +SKIP
      ... def sqrt(config, total_steps, warmup_steps):
      ...     return lambda step: config.lr / jnp.sqrt(1 + step)

    Args:
      name: A value of `config.optim.schedule`.

    Raises:
      UserError: If bcjax has a schedule of that name.
    """
    from bcjax.engine.schedules import SCHEDULES

    return _function("schedule", name, SCHEDULES, "optim.schedule", "finetune.first.schedule")


def loss(name: str) -> Decorator:
    """Registers a loss: `(logits, targets) -> losses`, (B, C), (B, C) and (B,), float32.

    The targets are probabilities: mixing and label smoothing are in them. The mean over the batch
    and the weights of the classes are applied to what it returns.

    Examples:
      >>> @bcjax.register.loss("squared")                            # doctest: +SKIP
      ... def squared(logits, targets):
      ...     return ((jax.nn.softmax(logits) - targets) ** 2).sum(axis=-1)

    Args:
      name: A value of `config.train.loss`.

    Raises:
      UserError: If bcjax has a loss of that name.
    """
    from bcjax.engine.losses import REGISTERED

    def register(function: T) -> T:
        if name in ("cross_entropy", "focal"):
            raise UserError(f"bcjax has a loss {name!r} itself: choose another name.")
        _add("loss", name, function, REGISTERED)
        _allow(name, "train.loss")
        return function

    return register


def callback(name: str) -> Decorator:
    """Registers a callback: `(step, metrics) -> bool | str | None`, called after each evaluation.

    The metrics are those of the watched split, such as {"accuracy": 0.97}, without those that are
    undefined on it. Where it returns True, or the reason as text, the run ends there, its
    checkpoint saved.

    Examples:
      >>> @bcjax.register.callback("good_enough")                    # doctest: +SKIP
      ... def good_enough(step, metrics):
      ...     return metrics["accuracy"] > 0.99

    Args:
      name: As it is written in `config.train.callbacks`.
    """
    from bcjax.training.loop import CALLBACKS

    return _function("callback", name, CALLBACKS)


def metric(name: str, *, title: str = "", higher_is_better: bool = True) -> Decorator:
    """Registers a metric: `(probabilities, labels) -> float`, of arrays (N, C) and (N,).

    It is computed in every evaluation, with an interval from the bootstrap, for which it is called
    once for each resample. Its name may be `config.checkpoint.best` and the objective of a sweep.

    Examples:
      >>> @bcjax.register.metric("blast_recall")                     # doctest: +SKIP
      ... def blast_recall(probabilities, labels):
      ...     return (probabilities.argmax(1) == labels)[labels == 3].mean()

    Args:
      name: The name in results, such as "blast_recall".
      title: The name in text; "": the same with spaces.
      higher_is_better: Whether a higher value is better.

    Raises:
      UserError: If bcjax has a metric of that name.
    """
    from bcjax.metrics.names import DESCRIPTIONS, EVERYWHERE, Description
    from bcjax.metrics.scores import REGISTERED

    description = Description(
        title or name.replace("_", " "), bounds=EVERYWHERE, higher_is_better=higher_is_better
    )

    def register(function: T) -> T:
        _add("metric", name, description, DESCRIPTIONS)
        REGISTERED[name] = function
        _allow(name, "checkpoint.best")
        return function

    return register


def source(
    name: str, recognises: "Callable[[SourceRequest], bool] | None" = None, *, boxes: bool = False
) -> Decorator:
    """Registers a reader of pictures: `(SourceRequest) -> Source`.

    Examples:
      >>> @bcjax.register.source("archive")                          # doctest: +SKIP
      ... def read(request):                       # config.data.source = "archive:2024"
      ...     rows = my_database(request.location)
      ...     return Source("archive", request.location, classes, records, fingerprint(rows))

    What was prepared of a source is used again as long as its fingerprint, its location and a few
    of its pictures are the same; a `Source` that names its `files` is known by their bytes.

    Args:
      name: The reader is asked for a `config.data.source` that is this name, or starts with it and
        a colon.
      recognises: Returns whether a location is of this kind, where its name does not say so.
      boxes: Whether the reader can cut boxed cells out, see `config.data.boxes`.

    Raises:
      UserError: If bcjax has a source of that name.
    """
    from bcjax.data.sources import SOURCES, register_source

    def register(function: T) -> T:
        if ("source", name) in _registered:
            del SOURCES[name]
        register_source(name, recognises, boxes=boxes)(function)
        _note("source", name)
        return function

    return register


def _function(kind: str, name: str, table: MutableMapping[str, Any], *keys: str) -> Decorator:
    """Returns a decorator that puts a function into a table, as a value of some config keys."""

    def register(function: T) -> T:
        _add(kind, name, function, table)
        _allow(name, *keys)
        return function

    return register


def _add(kind: str, name: str, value: Any, table: MutableMapping[str, Any]) -> None:
    if name in table and (kind, name) not in _registered:
        article = "an" if kind[0] in "aeiou" else "a"
        raise UserError(f"bcjax has {article} {kind} {name!r} itself: choose another name.")
    table[name] = value
    _note(kind, name)


def _note(kind: str, name: str) -> None:
    from bcjax.runtime import program_cache

    _registered.add((kind, name))
    program_cache.foreign_code()


def _allow(name: str, *keys: str) -> None:
    from bcjax import config

    for key in keys:
        config.add_choice(key, name)
