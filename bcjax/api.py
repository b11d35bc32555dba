"""The functions of `import bcjax`: what the commands call, for notebooks and scripts.

They print nothing but the progress that is asked for, take paths as text or `Path`, and raise
`UserError`, with the sentence that the command line prints, for whatever the user can mend.
"""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, overload

from bcjax import config as configs
from bcjax.config import ConfigDict
from bcjax.runtime import files, jax_settings
from bcjax.runtime.errors import UserError, disk_faults_told, shown
from bcjax.runtime.run_dir import RunDir

if TYPE_CHECKING:
    from rich.console import Console

    from bcjax.data.prepared import PreparedSet
    from bcjax.evaluation.calibration.calibration import Calibration
    from bcjax.evaluation.calibration.measure import CalibrationMeasurements
    from bcjax.evaluation.evaluation import Evaluation
    from bcjax.evaluation.trained_ensemble import TrainedEnsemble
    from bcjax.evaluation.trained_network import TrainedNetwork
    from bcjax.exports.exported import Exported
    from bcjax.exports.exported_network import ExportedNetwork
    from bcjax.reports.comparison import Comparison
    from bcjax.reports.dataset import Exploration
    from bcjax.reports.run import Report
    from bcjax.training.loop import Outcome
    from bcjax.tune.ablation import AblationResult
    from bcjax.tune.sweep import SweepResult

# A run: its folder, what `train` returned, or what `load` returned.
Run: TypeAlias = Union[str, Path, "Outcome", "TrainedNetwork"]
Checkpoint: TypeAlias = str | int  # "best", "latest" or a step

# Each room is imported where it is needed: none pays for the imports of another.


@disk_faults_told()
def get_config(name: str | Path, overrides: Mapping[str, Any] | None = None) -> ConfigDict:
    """Returns a checked config, which may be changed further.

    Examples:
      >>> config = bcjax.get_config("resnet18", {"optim.lr": 3e-4})
      >>> config.model.name, config.optim.lr, config.workdir
      ('resnet18', 0.0003, 'runs/resnet18')

    Args:
      name: The path of a config file; the name of one that comes with bcjax, such as "quickstart",
        perhaps with its variant ("resnet18:small"); or the name of a network, for the defaults with
        it. `bcjax configs` lists the first, `bcjax models` the second.
      overrides: Values by key. Where neither they nor the file name a `workdir`, it is
        `runs/<name>`.

    Raises:
      UserError: If there is no such config, network or key, or a key may not have that value.
    """
    config = configs.get(name, overrides, networks=_networks)
    if config.workdir is None:
        config.workdir = f"runs/{Path(configs.split_variant(str(name))[0]).stem}"
    return config


@disk_faults_told()
@jax_settings.fixed()
def train(
    config: ConfigDict,
    workdir: str | Path | None = None,
    *,
    progress: bool | None = None,
    on_evaluation: Callable[[int, dict[str, float]], bool | str | None] | None = None,
    extend: Literal["stretch", "restart"] | bool = False,
    change: bool = False,
) -> "Outcome":
    """Trains, or goes on training, the run that a config describes.

    The same config with the same workdir goes on where the last checkpoint stands, and ends with
    the same parameters as a run that was never interrupted. Ctrl-C saves a checkpoint and returns.
    At the end the best checkpoint is evaluated and, with `config.eval.report`, reported.

    Examples:
      >>> outcome = bcjax.train(bcjax.get_config("quickstart"))      # doctest: +SKIP
      >>> outcome.evaluation.metrics["accuracy"]                     # doctest: +SKIP

    Args:
      config: The config, which stays as it is.
      workdir: The run's folder; None: `config.workdir`, or `runs/<name of the network>`.
      progress: Whether to print how far the run is; None: in a terminal and in a notebook.
      on_evaluation: Called after each evaluation with the step and the metrics of the watched
        split; where it returns True, or text that says why, the run ends there.
      extend: Goes on with a run, even one that has ended, to a longer `train.length`. A schedule of
        the learning rate that ends is computed over the new length ("stretch"), or a new one begins
        over the added steps ("restart"); True is enough for one that does not end.
      change: Lets the learning rate, the batch size and other settings that the table of settings
        marks so change in a run that goes on. What changed, and when, is recorded.

    Returns:
      How the run ended: where it was written, the best checkpoint and its evaluation.

    Raises:
      UserError: For whatever the user can mend; nothing that was written before is lost.
    """
    import jax

    from bcjax.runtime import compilation
    from bcjax.training import loggers, loop
    from bcjax.training.resuming import Permissions

    _check_is_config(config)
    workdir = files.local_path(workdir or config.workdir or f"runs/{config.model.name}")
    configs.check_source(config.data)
    config = configs.replaced(config, {"workdir": workdir})
    compilation.use_cache()

    def evaluated(step: int, metrics: dict[str, float]) -> bool | str:
        return (on_evaluation and on_evaluation(step, metrics)) or False

    permissions = Permissions(extend, change)
    outcome = loop.train(config, _console(progress), evaluated, permissions)
    if outcome.evaluation and config.eval.report and jax.process_index() == 0:
        from bcjax.reports.run import write_report

        write_report(outcome.workdir)
        loggers.archive(config)
    return outcome


@overload
def load(
    run: "Run", checkpoint: Checkpoint = "best", *, max_pixels: int | None = None
) -> "TrainedNetwork": ...
@overload
def load(
    run: "Run",
    checkpoint: Checkpoint = "best",
    *,
    max_pixels: int | None = None,
    backend: Literal["onnx"],
) -> "ExportedNetwork": ...
@overload
def load(
    run: "list[Run] | tuple[Run, ...]",
    checkpoint: Checkpoint | Sequence[Checkpoint] = "best",
    *,
    max_pixels: int | None = None,
    backend: Literal["jax", "onnx"] = "jax",
) -> "TrainedEnsemble": ...
@disk_faults_told()
@jax_settings.fixed()
def load(
    run: "Run | list[Run] | tuple[Run, ...]",
    checkpoint: Checkpoint | Sequence[Checkpoint] = "best",
    *,
    max_pixels: int | None = None,
    backend: Literal["jax", "onnx"] = "jax",
) -> "TrainedNetwork | ExportedNetwork | TrainedEnsemble":
    """Reads a trained network from the folder of its run, or several that answer together.

    Examples:
      >>> net = bcjax.load("runs/convnext_tiny")                     # doctest: +SKIP
      >>> net.predict("cells/")                                      # doctest: +SKIP
      >>> bcjax.load(["runs/a", "runs/b"]).predict("cells/")         # doctest: +SKIP

    Args:
      run: The run, such as its folder. A list of runs is an ensemble, the mean of whose
        probabilities answers; the folder of members in the list stands for all of them.
      checkpoint: "best", "latest" or a step; of a list of runs also several, which are averaged.
      max_pixels: The most pixels that an image may have; None: as the run's `data.max_pixels` says.
      backend: "jax", or "onnx" to answer by the file that `export` wrote to the run's folder, which
        is ready sooner and on a CPU often faster; it only answers.

    Raises:
      UserError: If there is no such checkpoint, it needs something that is gone, or the runs of a
        list differ in their classes; for ONNX also if there is no such file of the checkpoint.
    """
    if backend not in ("jax", "onnx"):
        raise UserError(f"{backend!r} is no backend: choose jax or onnx.")
    workdirs = [_workdir(each) for each in (run if isinstance(run, list | tuple) else [run])]
    from bcjax.runtime import compilation

    compilation.use_cache()
    if isinstance(run, list | tuple):
        from bcjax.evaluation import evaluate as evaluating
        from bcjax.evaluation import trained_ensemble

        if backend == "onnx":
            raise UserError("Several networks answer by JAX alone: leave out the backend.")
        checkpoints = evaluating.listed(checkpoint)
        if not (workdirs and checkpoints):
            raise UserError("There is no run or checkpoint in the list: name one or more.")
        return trained_ensemble.load(workdirs, checkpoints, max_pixels)
    if not isinstance(checkpoint, str | int):
        raise UserError(f"Several checkpoints are an ensemble: write load([{shown(run)}], ...).")
    if backend == "onnx":
        from bcjax.exports import exported_network

        return exported_network.load(workdirs[0], checkpoint, max_pixels=max_pixels)
    from bcjax.evaluation import trained_network

    return trained_network.load(workdirs[0], checkpoint, max_pixels=max_pixels)


@disk_faults_told()
@jax_settings.fixed()
def evaluate(
    run: "Run",
    data: str | Path = "test",
    *,
    checkpoint: Checkpoint | Sequence[Checkpoint] | None = None,
    split: str = "test",
    map_classes: str | Mapping[str, str] | None = None,
    stain: str | None = None,
    stain_reference: str | Path | None = None,
    max_pixels: int | None = None,
    batch_size: int | None = None,
    views: str | None = None,
    runs: str | Path | Sequence["Run"] = (),
    soup: Literal["uniform", "greedy"] | None = None,
    out: str | Path | None = None,
    strict: bool = False,
    prevalence: str | Mapping[str, float] | None = None,
) -> "Evaluation":
    """Evaluates a run on a split of its data or on other data, and writes the result to its folder.

    Examples:
      >>> bcjax.evaluate("runs/a")                                   # doctest: +SKIP
      >>> bcjax.evaluate("runs/a", "other_lab/", map_classes="band=neutrophil")  # doctest: +SKIP
      >>> bcjax.evaluate("runs/a", views="flip, turn").to_pandas()   # doctest: +SKIP

    Args:
      run: The run, such as its folder; a network of `load` stands for its checkpoint.
      data: "train", "val" or "test": that split of the run's own data. Else other data, as in
        `config.data.source`, such as a folder.
      checkpoint: "best", "latest" or a step; several are averaged. None: that of the network, or
        the best.
      split: The split of other data; where it has no splits, all of it is evaluated.
      map_classes: Which class of other data is which of the run's: a mapping, or text such as
        "band=neutrophil,artefact=-", where - leaves a class out. None: by name.
      stain: How the stain of other data is normalised: "none", "reinhard" or "macenko"; None: as
        the run's.
      stain_reference: The picture whose stain other data is given.
      max_pixels: The most pixels of a picture of other data; None: as the run's `data.max_pixels`.
      batch_size: Images at a time; None: as the run did.
      views: Views of each image to average, such as "flip, turn, crop(0.9)".
      runs: One or several further runs to average with the first one.
      soup: Averages the weights instead of the answers.
      out: The folder to write the soup to, as a run.
      strict: Refuses figures with cautions (`evaluation.cautions`), and writes nothing then.
      prevalence: The share of each class at which the networks answer, as a mapping or as text such
        as "neutrophil=0.6,lymphocyte=0.4"; None: the prevalence that they were trained at.

    Raises:
      UserError: If the arguments do not go together, or there is no such run, checkpoint, split,
        view or class; with `strict` also if there is any caution.
    """
    runs = [runs] if isinstance(runs, str | Path) else runs
    workdir, others = _workdir(run), [_workdir(each) for each in runs]
    data, out = files.local_path(data), None if out is None else files.user_path(out)
    if stain_reference is not None:
        stain_reference = files.local_path(stain_reference)
    from bcjax.data.records import SPLITS
    from bcjax.evaluation import evaluate as evaluating
    from bcjax.runtime import compilation

    own = data in SPLITS
    source = None if own else data
    other = evaluating.other_data(source, map_classes, stain, stain_reference, max_pixels)
    compilation.use_cache()
    return evaluating.evaluate(
        workdir,
        data if own else split,
        checkpoint=_checkpoint(run) if checkpoint is None else checkpoint,
        other=other,
        batch_size=batch_size,
        views=views,
        runs=others,
        soup=soup,
        out=out,
        strict=strict,
        prevalence=prevalence,
    )


@disk_faults_told()
@jax_settings.fixed()
def calibrate(
    run: "Run",
    *,
    checkpoint: Checkpoint | Sequence[Checkpoint] | None = None,
    split: str = "val",
    coverage: float = 0.9,
    error_rate: float = 0.05,
    not_cells: str | Path | None = None,
    batch_size: int | None = None,
    runs: Sequence["Run"] = (),
) -> tuple["Calibration", "CalibrationMeasurements"]:
    """Calibrates a network, or several that answer together, and writes it to the run's folder.

    `load(run).predict` and `evaluate` use it from then on: probabilities are calibrated, and
    pictures that are uncertain or not cells are marked.

    Examples:
      >>> calibration, measurements = bcjax.calibrate("runs/a")      # doctest: +SKIP

    Args:
      run: The run, such as its folder.
      checkpoint: "best", "latest" or a step; several are averaged. None: that of the network, or
        the best.
      split: The split it is fitted on, which the network was not trained on.
      coverage: Share of the conformal sets that shall hold the true class, in (0, 1).
      error_rate: The highest error rate among answers that are not `uncertain`, in (0, 1).
      not_cells: A folder of pictures of other things, to measure how well outlier scores find them.
      batch_size: Images at a time; None: as the run did.
      runs: Further runs, whose average with the first one is calibrated.

    Raises:
      UserError: If there is no such checkpoint or split, or a number is out of range.
    """
    workdir, others = _workdir(run), [_workdir(each) for each in runs]
    not_cells = None if not_cells is None else files.user_path(not_cells)
    from bcjax.evaluation import calibrate as calibrating
    from bcjax.runtime import compilation

    compilation.use_cache()
    return calibrating.calibrate(
        workdir,
        _checkpoint(run) if checkpoint is None else checkpoint,
        split=split,
        coverage=coverage,
        error_rate=error_rate,
        not_cells=not_cells,
        batch_size=batch_size,
        runs=others,
    )


@disk_faults_told()
@jax_settings.fixed()
def export(
    run: "Run | list[Run] | tuple[Run, ...]",
    out: str | Path | None = None,
    *,
    formats: str | Sequence[str] = ("onnx",),
    checkpoint: Checkpoint | Sequence[Checkpoint] | None = None,
    max_loss: float = 0.02,
    views: str | None = None,
) -> "Exported":
    """Writes a trained network for other runtimes, and checks each file there before it is kept.

    A file takes uint8 RGB pictures of the network's size, any number at a time, and gives
    calibrated probabilities and, if the network was calibrated, how strange each picture is.

    Examples:
      >>> exported = bcjax.export("runs/a", "clinic/", formats=["onnx", "stablehlo"])
      ...                                                            # doctest: +SKIP
      >>> exported.certificates[0].difference                        # doctest: +SKIP

    Args:
      run: The run, such as its folder, or the network. A list of runs is an ensemble, the mean of
        whose probabilities answers, in one file.
      out: The folder to write to; None: `export/` in the run's folder. An ensemble needs one.
      formats: "onnx", "onnx_int8", "litert", "litert_float16", "litert_int8", "stablehlo",
        "safetensors", "webapp", or several.
      checkpoint: "best", "latest" or a step; None: that of the network, or the best. Of a list of
        runs also several.
      max_loss: How much the accuracy may fall in formats of fewer bits, in 0..1.
      views: Views of each image that the file averages: "flip", "turn" or "flip, turn". They cost
        so many times the time, and no calibration is of them. None: the image as it is.

    Returns:
      The files, and what was checked of each.

    Raises:
      UserError: If there is no such format, checkpoint or view, the format's extra is not
        installed, or there are no held-out pictures to check it with.
      FailedCheckError: If a file answers otherwise than the network, or loses more accuracy than
        `max_loss`; nothing is written then.
    """
    out = None if out is None else files.user_path(out)
    from bcjax.exports import export as exporting

    net: TrainedNetwork | TrainedEnsemble
    if isinstance(run, list | tuple):
        if out is None:
            raise UserError("Several networks belong to no run: name the folder to export them to.")
        net = load(run, checkpoint or "best")
    elif checkpoint is None or isinstance(checkpoint, str | int):
        net = load(run, _checkpoint(run) if checkpoint is None else checkpoint)
        out = RunDir(net.workdir).exported if out is None else out
    else:
        raise UserError(f"Several checkpoints are an ensemble: write export([{shown(run)}], ...).")
    names = (formats,) if isinstance(formats, str) else tuple(formats)
    return exporting.export(net, out, names, max_loss, views)


@disk_faults_told()
def compare(
    *runs: "Run", evaluation: str = "test", metric: str = "accuracy", by: str | None = None
) -> "Comparison":
    """Compares runs, each with the first one, from what their evaluations wrote.

    Runs that have the same config and pictures but for the seed are compared as one config.

    Examples:
      >>> bcjax.compare("runs/a", "runs/b").to_pandas()              # doctest: +SKIP

    Args:
      *runs: Two runs or more, or one folder of members (`config.train.members`).
      evaluation: Name of the evaluation: a split, or another that `evaluate` wrote.
      metric: The metric that decides.
      by: A key of the config in which the runs differ; `write_comparison` draws the metric over it.
        None: none.

    Raises:
      UserError: If a run or its evaluation is missing, or the runs cannot be compared, or do not
        differ in that key.
    """
    from bcjax.reports import comparison

    return comparison.compare(*map(_workdir, runs), evaluation=evaluation, metric=metric, by=by)


@disk_faults_told()
def prepare(
    source: str | Path, out: str | Path | None = None, overrides: Mapping[str, Any] | None = None
) -> "PreparedSet":
    """Measures, cleans, groups and splits pictures, and writes them as a set to train on.

    A config whose `data.source` is the set's folder trains on it. Pictures need not be prepared by
    hand: `train` does that on first use.

    Examples:
      >>> cells = bcjax.prepare("cells/", overrides={"data.drop": ("conflicts",)})  # doctest: +SKIP
      >>> cells.counts                                               # doctest: +SKIP

    Args:
      source: As `config.data.source`: a folder, .csv, .npz, TFDS name, or "synthetic".
      out: The folder to make; None: in the cache, where a run finds it.
      overrides: Values of keys of the config, such as {"data.drop": ("conflicts",)}.

    Raises:
      UserError: If there are no such pictures, or what they hold does not fit the rules.
    """
    config = _described(source, overrides)
    folder = None if out is None else files.user_path(out)
    from bcjax.data import preparation

    return preparation.prepare(config.data, folder)


@disk_faults_told()
@jax_settings.fixed()
def report(
    run: "Run", evaluation: str = "", out: str | Path | None = None, *, latex: bool = False
) -> "Report":
    """Writes the report of a run: one page, the same as Markdown, its figures and a model card.

    Examples:
      >>> bcjax.report("runs/a").html                                # doctest: +SKIP

    Args:
      run: The run, such as its folder.
      evaluation: Name of the evaluation to report; "": the one that the run ended with.
      out: The HTML file to write, with the other files beside it; None: report.html in the run's
        folder.
      latex: Whether the tables (booktabs) and figures (PDF) are written for LaTeX, too, with a
        document that compiles.

    Raises:
      UserError: If there is no run, or it was not evaluated.
    """
    workdir, out = _workdir(run), None if out is None else files.user_path(out)
    from bcjax.reports.run import write_report
    from bcjax.runtime import compilation

    compilation.use_cache()
    return write_report(workdir, evaluation, out, latex=latex)


@disk_faults_told()
@jax_settings.fixed()
def explore(
    source: str | Path,
    out: str | Path = "explore.html",
    *,
    run: "Run | None" = None,
    overrides: Mapping[str, Any] | None = None,
) -> "Exploration":
    """Writes a page that shows a data set: counts, samples, colours, duplicates, a map.

    Examples:
      >>> bcjax.explore("cells/").html                               # doctest: +SKIP

    Args:
      source: As `config.data.source`.
      out: The HTML file to write.
      run: A run, whose features place the pictures on the map; None: their colours do.
      overrides: Values of keys of the config, such as {"data.drop": ("conflicts",)}.

    Raises:
      UserError: If the pictures or the run cannot be read.
    """
    config, html = _described(source, overrides), files.user_path(out)
    workdir = None if run is None else _workdir(run)
    from bcjax.reports import dataset

    if run is None:
        return dataset.explore(config, html)
    return dataset.explore(config, html, workdir=workdir, checkpoint=str(_checkpoint(run)))


def _networks() -> Collection[str]:
    from bcjax.models import MODELS

    return MODELS


@disk_faults_told()
@jax_settings.fixed()
def sweep(
    config: ConfigDict,
    space: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    trials: int | None = None,
    objective: str = "",
    sampler: Literal["tpe", "random", "grid"] = "tpe",
    pruner: Literal["none", "median", "halving", "hyperband"] = "none",
    target: str = "",
    storage: str = "",
    retry: bool = False,
    progress: bool | None = None,
) -> "SweepResult":
    """Searches for better values of any keys of a config, trial after trial (Optuna).

    Each trial is a run in a folder of its own, judged on the split that is watched during training.
    The same call again goes on with what was interrupted, and with the trials that are left.

    Examples:
      >>> space = {"optim.lr": {"low": 1e-4, "high": 1e-2}, "train.batch_size": [32, 64]}
      >>> found = bcjax.sweep(config, space, "runs/sweep", trials=8)  # doctest: +SKIP
      >>> found.ranked()[0].params                                   # doctest: +SKIP

    Args:
      config: The config of all trials, apart from what the space changes; it stays as it is.
      space: A range or a list of values for each key; or a file, as for `bcjax sweep`, or the name
        of one in configs/.
      out: The folder of the trials' folders and of study.json.
      trials: The number of trials in all; None: 20, or all points of the grid.
      objective: Metrics, "latency" (seconds for one picture), "size" (bytes of the parameters) or
        "ram" (bytes of a layer's input and output, as int8), by commas; "":
        `config.checkpoint.best`.
      sampler: How values are chosen; "grid": all combinations of the listed values, each once.
      pruner: Which trials end early, by their evaluations so far.
      target: The device that latency, size and RAM are estimated for, such as "Cortex-M7 216MHz";
        "": latency and size are those of the network as it is, here.
      storage: The URL of a database, for several hosts; "": SQLite in the folder.
      retry: Whether trials that failed are tried again; where all of them failed, with what is
        asked for now.
      progress: Whether to print how each trial ended; None: in a terminal and in a notebook.

    Returns:
      What was found so far, also where Ctrl-C ended it.

    Raises:
      UserError: If no trial could use the space or the config, the folder holds another sweep, or
        Optuna is not installed.
    """
    _check_is_config(config)
    folder = files.user_path(out)
    space = files.user_path(space) if isinstance(space, str | Path) else space
    from bcjax.runtime import compilation, extras

    extras.check("optuna", "A sweep")
    from bcjax.tune.sweep import Sweep, result, work

    compilation.use_cache()
    planned = Sweep.of(
        config,
        space,
        objective=objective,
        trials=trials,
        sampler=sampler,
        pruner=pruner,
        target=target,
    )
    study = planned.open(folder, storage, retry=retry)
    work(planned, study, _console(progress))
    found = result(planned, study)
    found.write(study.out)
    return found


@disk_faults_told()
@jax_settings.fixed()
def ablate(
    config: ConfigDict,
    switches: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    modes: str | Sequence[str] = ("all-but-one", "only-one"),
    seeds: int = 1,
    progress: bool | None = None,
) -> "AblationResult":
    """Trains without each of some named parts of a config, and with each of them alone.

    Each run has a folder of its own and is judged on the split that is watched during training. The
    same call again goes on with what was interrupted.

    Examples:
      >>> switches = {"decay": {"optim.weight_decay": 0}, "warmup": {"optim.warmup": "0 steps"}}
      >>> found = bcjax.ablate(config, switches, "runs/ablation")    # doctest: +SKIP
      >>> {run.name: run.difference for run in found.runs}           # doctest: +SKIP

    Args:
      config: The config whose parts are switched; it stays as it is.
      switches: The changes that leave each part out, by its name; or a file, as for `bcjax ablate`,
        or the name of one in configs/.
      out: The folder of the runs' folders and of ablation.json.
      modes: "all-but-one", "only-one" or both.
      seeds: The number of runs of each kind, with seeds from `config.seed` on. With one, nothing
        tells how seeds vary, and differences have no p-value.
      progress: Whether to print how each run ended; None: in a terminal and in a notebook.

    Raises:
      UserError: If a switch or a mode is not understood, or the complete config does not train.
      KeyboardInterrupt: If a signal ended it; each run that was begun is saved.
    """
    _check_is_config(config)
    folder = files.user_path(out)
    switches = files.user_path(switches) if isinstance(switches, str | Path) else switches
    from bcjax.runtime import compilation
    from bcjax.tune.ablation import Ablation, measure, work

    compilation.use_cache()
    ablation = Ablation.of(config, switches, folder, modes=modes, seeds=seeds)
    faults, status = work(ablation, _console(progress))
    if status:
        raise KeyboardInterrupt
    found = measure(ablation, faults)
    found.write(ablation.out)
    return found


def _described(source: str | Path, overrides: Mapping[str, Any] | None) -> ConfigDict:
    changes = {"data.source": str(source), **(overrides or {})}
    return configs.check(configs.replaced(configs.default(), changes))


def _console(progress: bool | None) -> "Console":
    from rich.console import Console

    console = Console(file=sys.stdout)
    shown = (console.is_terminal or console.is_jupyter) if progress is None else progress
    return console if shown else Console(quiet=True)


def _workdir(run: "Run") -> Path:
    folder = run if isinstance(run, str | Path) else getattr(run, "workdir", None)
    if folder is None:
        raise UserError(
            f"{shown(run)} is no run: give its folder, or what bcjax.train or bcjax.load returned."
        )
    return files.user_path(folder)


def _check_is_config(config: Any) -> None:
    if not isinstance(config, ConfigDict):
        name = config if isinstance(config, str) else "elu_cnn"
        raise UserError(f"{shown(config)} is no config: give bcjax.get_config({name!r}).")


def _checkpoint(run: "Run") -> Checkpoint:
    from bcjax.engine.network import RestoredNetwork

    return run.step if isinstance(run, RestoredNetwork) else "best"
