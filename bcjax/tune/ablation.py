"""An ablation: how much each part of a config matters, by runs without it and with it alone."""

import dataclasses
import re
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict
from rich.console import Console

from bcjax import config as configs
from bcjax.augment import spec
from bcjax.config.key import LENGTH
from bcjax.data.preparation import prepare
from bcjax.engine import network
from bcjax.evaluation import answers
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.guards import comparisons
from bcjax.evaluation.guards.pictures import about_watched
from bcjax.metrics import resampling
from bcjax.metrics import runs as several_runs
from bcjax.metrics.resampling import Difference, Resampled
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.training import loggers
from bcjax.tune import objectives, trials
from bcjax.tune.trials import (
    Changes,
    changed,
    check,
    check_tunable,
    judged_on_watched,
    read_page,
    read_python,
    shipped,
)

MODES = ("all-but-one", "only-one")
REFERENCE = "all"  # the kind of run that all others are compared with
ABLATION_FILE = "ablation.json"

_EXAMPLE = "switches, such as decay: {optim.weight_decay: 0}"


# The parts of a config.


@dataclasses.dataclass(frozen=True)
class Switch:
    """A part of a config that can be switched on and off.

    Attributes:
      name: The name of the part.
      on: What changes in the config where the part is on.
      off: What changes where it is off. A value {"remove": entries} removes entries of a list.
    """

    name: str
    on: Changes
    off: Changes


def read_switches(source: str | Path | Mapping[str, Any], config: ConfigDict) -> tuple[Switch, ...]:
    """Reads switches and tries each of them.

    Args:
      source: A YAML or Python file, see the help of `bcjax ablate`, or the name of one in configs/,
        or what a YAML file would hold.
      config: The config whose parts they are.

    Raises:
      UserError: If a switch is not understood, is off in the config already, or changes a key of
        another switch.
    """
    where = "The switches" if isinstance(source, Mapping) else str(source)
    source = source if isinstance(source, Mapping) else shipped(source)
    if not isinstance(source, Mapping) and source.suffix == ".py":
        source = _defined(source, config)
    page = read_page(source, _EXAMPLE)
    switches = tuple(_switch(where, name, value) for name, value in page.items())
    owners: dict[str, str] = {}
    for switch in switches:
        keys = [key for changes in (switch.on, switch.off) for key in changes]
        for key in dict.fromkeys(keys):
            removes = all(isinstance(c.get(key, {}), dict) for c in (switch.on, switch.off))
            owner = owners.setdefault(key, "" if removes else switch.name)
            if owner != ("" if removes else switch.name):
                raise UserError(
                    f"{where}: {switch.name} and another switch both change {key}: let each of "
                    "them remove its own entries of a list, or make them one switch."
                )
    names = [switch.name for switch in switches]
    everything_on = check(apply(config, switches, names))
    for switch in switches:
        others = [name for name in names if name != switch.name]
        if _train_alike(everything_on, check(apply(config, switches, others))):
            values = configs.flatten(everything_on)
            held = ", ".join(
                f"{key} is {values[key]!r}" for key in dict.fromkeys((*switch.off, *switch.on))
            )
            raise UserError(
                f"{where}: {switch.name} is off in this config already ({held}): leave the part "
                "out, or write what it is where it is on, under `with`."
            )
    check(apply(config, switches, []))
    return switches


def _defined(path: Path, config: ConfigDict) -> Mapping[str, Any]:
    """Returns the switches of a Python file: a mapping, or a function of the config."""
    defined = read_python(path, "file of switches", "switches(config)")
    try:
        page = defined(config) if callable(defined) else defined
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"switches(config) in {path} fails ({reason}): mend it.") from error
    if not isinstance(page, Mapping):
        raise UserError(
            f"switches in {path} is {page!r}: let it be a dict, or return one, of {_EXAMPLE}."
        )
    return page


def _train_alike(one: ConfigDict, other: ConfigDict) -> bool:
    """Whether two configs say the same, in other words or in the same."""
    here, there = configs.flatten(one), configs.flatten(other)
    apart = {key for key in here if _meant(key, here[key]) != _meant(key, there[key])}
    options = {f"model.{name}" for name in network.OPTIONS}
    # An option of the network may be stated as what it is without being stated.
    if apart & options and network.build(one, 2) == network.build(other, 2):
        apart -= options
    return not apart


def _meant(key: str, value: Any) -> Any:
    """Returns a value such that two which are nothing, written otherwise, are equal."""
    if configs.KEYS[key].kind is LENGTH and float(value.split()[0]) == 0:
        return 0
    if key == "augment.ops":
        return tuple(op for op in value if spec.parse(op).options.get("p") != 0)
    return value


def _switch(where: str, name: Any, value: Any) -> Switch:
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]+", name):
        raise UserError(f"{where}: {name!r} names no switch: use letters, digits, _, . and -.")
    if not isinstance(value, dict) or not value:
        raise UserError(f"{where}: {name} is {value!r}: write {_EXAMPLE.partition(', ')[2]}.")
    sides = value if set(value) <= {"with", "without"} else {"without": value}
    on, off = sides.get("with") or {}, sides.get("without") or {}
    for key, change in (*on.items(), *off.items()):
        check_tunable(key, f"{where}: {name}")
        if isinstance(change, dict):
            if set(change) != {"remove"}:
                raise UserError(f"{where}: {name} has {key}: {change!r}: write {{remove: ENTRY}}.")
            configs.convert(key, ())
        else:
            configs.convert(key, change)
    return Switch(name, on, off)


def apply(config: ConfigDict, switches: Sequence[Switch], on: Collection[str]) -> ConfigDict:
    """Returns the config with some switches on and all others off.

    Raises:
      UserError: If a value is then out of its range.
    """
    before = configs.flatten(config)
    changes: dict[str, Any] = {}
    for switch in switches:
        for key, value in (switch.on if switch.name in on else switch.off).items():
            if isinstance(value, dict):
                value = _without(switch.name, key, changes.get(key, before[key]), value["remove"])
            changes[key] = value
    return changed(config, changes)


def _without(name: str, key: str, entries: Sequence[Any], remove: Any) -> tuple[Any, ...]:
    """Removes entries of a list; an operation may be named without its arguments."""
    patterns = remove if isinstance(remove, list) else [remove]
    matches = {
        pattern: {e for e in entries if pattern in (e, str(e).partition("(")[0])}
        for pattern in patterns
    }
    for pattern, matching in matches.items():
        if not matching:
            held = ", ".join(map(str, entries)) or "nothing"
            raise UserError(f"{name} removes {pattern!r} from {key}, which holds {held}: mend one.")
    removed = set().union(*matches.values())
    return tuple(entry for entry in entries if entry not in removed)


def kinds_of_run(
    names: Sequence[str], modes: Collection[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields each kind of run of an ablation once: its name, and which switches are on."""
    wanted = {REFERENCE: tuple(names), "none": ()}
    if "all-but-one" in modes:
        wanted |= {f"all-but-{n}": tuple(o for o in names if o != n) for n in names}
    if "only-one" in modes:
        wanted |= {f"only-{n}": (n,) for n in names}
    seen = set()
    for name, on in wanted.items():
        if on not in seen:
            seen.add(on)
            yield name, on


# The runs.


@dataclasses.dataclass(frozen=True)
class Ablation:
    """An ablation to be run.

    Attributes:
      config: The config, judged on the watched split: see `trials.judged_on_watched`.
      switches: Its parts.
      modes: Some of `MODES`.
      seeds: The number of runs of each kind, with seeds from `config.seed` on.
      out: The folder of the runs' folders.
    """

    config: ConfigDict
    switches: Sequence[Switch]
    modes: Sequence[str]
    seeds: int
    out: Path

    @classmethod
    def of(
        cls,
        config: ConfigDict,
        switches: str | Path | Mapping[str, Any],
        out: Path,
        *,
        modes: str | Sequence[str] = MODES,
        seeds: int = 1,
    ) -> "Ablation":
        """Returns the ablation that a user asks for; the arguments are those of `bcjax.ablate`.

        Raises:
          UserError: If a switch or a mode is not understood, or the config is not possible.
        """
        modes = [modes] if isinstance(modes, str) else modes
        if wrong := [mode for mode in modes if mode not in MODES]:
            raise UserError(f"There is no mode {wrong[0]!r}: choose of {', '.join(MODES)}.")
        configs.check_argument("seeds", seeds, like="train.members")
        configs.check_source(config.data)
        loggers.check(config.track)
        judged = judged_on_watched(config, config.checkpoint.best)
        ablation = cls(judged, read_switches(switches, config), modes, seeds, out)
        prepared = prepare(judged.data)  # the runs need it, too
        objectives.check_defined([judged.checkpoint.best], prepared, judged.eval.split)
        for on in ablation.runs().values():
            run = apply(judged, ablation.switches, on)
            check(run, trials.pictures_of(run, judged, prepared))
        return ablation

    def runs(self) -> dict[str, tuple[str, ...]]:
        """Returns which switches are on, by the kind of run."""
        return dict(kinds_of_run([switch.name for switch in self.switches], self.modes))

    def workdirs(self, name: str) -> list[Path]:
        """Returns the folder of each seed's run of a kind."""
        if self.seeds == 1:
            return [self.out / name]
        return [self.out / f"{name}-seed-{i}" for i in range(self.seeds)]


def work(ablation: Ablation, console: Console) -> tuple[dict[str, str], int]:
    """Trains all runs, or goes on with them. A run that fails is printed and the next one follows.

    Returns:
      Why runs failed, by kind; and the exit status: not 0 if a signal ended the ablation.

    Raises:
      UserError: If a run of the reference fails.
    """
    trials.check_alone(ablation.config)
    metric = ablation.config.checkpoint.best
    faults: dict[str, str] = {}
    for name, on in ablation.runs().items():
        for i, workdir in enumerate(ablation.workdirs(name)):
            config = apply(ablation.config, ablation.switches, on)
            config = configs.replaced(config, {"seed": config.seed + i})
            try:
                outcome = trials.run(config, workdir)
                if not outcome.signal:
                    (value,) = objectives.measure([metric], workdir, outcome.evaluation)
            except Exception as error:
                fault = trials.failure(error)
                if not fault or name == REFERENCE:
                    raise
                faults[name] = fault
                console.print(f"{workdir.name} failed: {fault}", highlight=False, soft_wrap=True)
                continue
            if outcome.signal:
                console.print("Stopped: the same command goes on from there.")
                return faults, outcome.exit_status
            console.print(f"{workdir.name} {metric} {value:.4f}", highlight=False, soft_wrap=True)
    return faults, 0


# The result.


@dataclasses.dataclass(frozen=True)
class AblatedRun:
    """The runs of one kind, compared with the reference.

    Attributes:
      name: The kind, such as "all-but-decay".
      on: The switches that are on.
      workdirs: The folders' names.
      error: Why a run failed; None if none did. The figures below are None then.
      values: The metric of each seed.
      mean: Their mean.
      deviation: Their standard deviation; None of one.
      difference: The seeds' mean less that of the reference, a `Difference` as in JSON. Of one seed
        its interval says how much other pictures would change, and there is no p; of several it
        is over seeds and pictures, see `metrics.runs`. There is neither where all answers are
        those of the reference. None for the reference, or where the pictures differ.
    """

    name: str
    on: list[str]
    workdirs: list[str]
    error: str | None = None
    values: list[float] | None = None
    mean: float | None = None
    deviation: float | None = None
    difference: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class AblationResult:
    """What an ablation found.

    Attributes:
      split: The split of the metric.
      metric: The metric, `checkpoint.best`.
      n: The pictures of the split.
      seeds: The runs of each kind.
      reference: The kind that all others are compared with.
      cautions: Sentences without which the figures must not be read, see `evaluation.guards`.
      switches: The parts.
      runs: The kinds of run.
    """

    split: str
    metric: str
    n: int
    seeds: int
    reference: str
    cautions: list[str]
    switches: list[Switch]
    runs: list[AblatedRun]

    def write(self, out: Path) -> Path:
        """Writes `ablation.json` into a folder and returns its path.

        `ablation.html`, `ablation.md` and `figures/*.png` are beside it.
        """
        path = out / ABLATION_FILE
        files.write_json(path, dataclasses.asdict(self))
        from bcjax.reports.pages.page import write_page  # matplotlib is slow to import
        from bcjax.tune.pages import ablation_page

        write_page(ablation_page(self), path.with_suffix(".html"))
        return path


def measure(ablation: Ablation, faults: dict[str, str]) -> AblationResult:
    """Compares each kind of run with the reference.

    Args:
      ablation: The ablation, whose runs have ended.
      faults: Why runs failed, from `work`.
    """
    config = ablation.config
    split, metric = config.eval.split, config.checkpoint.best
    folders = [path for name in ablation.runs() for path in ablation.workdirs(name)]
    cautions = [*about_watched(folders), *comparisons.about_seeds([ablation.seeds])]
    reference = _read(ablation, REFERENCE)
    runs = []
    for name, on in ablation.runs().items():
        workdirs = [path.name for path in ablation.workdirs(name)]
        run = AblatedRun(name, list(on), workdirs, error=faults.get(name))
        if name not in faults:
            seeds = _read(ablation, name)
            values = [each.metric.value for each in seeds]
            run = dataclasses.replace(
                run,
                values=values,
                mean=statistics.fmean(values),
                deviation=statistics.stdev(values) if len(values) > 1 else None,
            )
            if name != REFERENCE and seeds[0].answers.ids == reference[0].answers.ids:
                difference, sentences = _compare(name, seeds, reference)
                run = dataclasses.replace(run, difference=difference.to_dict())
                cautions += sentences
        runs.append(run)
    return AblationResult(
        split=split,
        metric=metric,
        n=reference[0].answers.n,
        seeds=ablation.seeds,
        reference=REFERENCE,
        cautions=cautions,
        switches=list(ablation.switches),
        runs=runs,
    )


class _Seed(NamedTuple):
    """What one run answered, and the metric on the same resamples as in all other runs."""

    answers: Answers
    metric: Resampled


def _read(ablation: Ablation, name: str) -> list[_Seed]:
    """Reads what each seed's run of a kind answered."""
    runs = []
    for workdir in ablation.workdirs(name):
        kept = answers.read(RunDir(workdir).answers(ablation.config.eval.split))
        resamples = ablation.config.eval.resamples
        resampled = resampling.resample(kept.predictions(), kept.groups, resamples=resamples)
        runs.append(_Seed(kept, resampled.metric(ablation.config.checkpoint.best)))
    return runs


def _compare(
    name: str, seeds: Sequence[_Seed], reference: Sequence[_Seed]
) -> tuple[Difference, tuple[str, ...]]:
    """Returns how much higher the metric is than in the reference, and sentences about that."""
    sentences = comparisons.about_identical(
        name, REFERENCE, *([each.answers for each in kind] for kind in (seeds, reference))
    )
    if sentences:
        return Difference(0.0, None, None), sentences
    one, other = ([each.metric for each in kind] for kind in (seeds, reference))
    return several_runs.difference(one, other), ()
