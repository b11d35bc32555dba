"""What an ablation switches: named parts of a config."""

import dataclasses
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.runtime.errors import UserError
from bcjax.tune.changes import Changes, changed, check, read_yaml

MODES = ("all-but-one", "only-one")

_HINT = "switches, such as decay: {optim.weight_decay: 0}"


@dataclasses.dataclass(frozen=True)
class Switch:
    """A part of a config.

    Attributes:
      name: Of the part.
      on: What is changed where it is there.
      off: What is changed where it is not. A value {"remove": entries} takes entries out of a list.
    """

    name: str
    on: Changes
    off: Changes


def read(path: Path, config: ConfigDict) -> tuple[Switch, ...]:
    """Reads switches from a YAML file, and tries each.

    Args:
      path: The file; see the docstring of `bcjax ablate`.
      config: In which they are.

    Raises:
      UserError: If a switch is not understood, changes nothing, or changes a key of another one's.
    """
    page = read_yaml(path, _HINT)
    switches = tuple(_switch(path, name, written) for name, written in page.items())
    owners: dict[str, str] = {}
    for switch in switches:
        by_value = [k for changes in (switch.on, switch.off) for k in changes]
        for key in dict.fromkeys(by_value):
            removes = all(isinstance(c.get(key, {}), dict) for c in (switch.on, switch.off))
            owner = owners.setdefault(key, "" if removes else switch.name)
            if owner != ("" if removes else switch.name):
                raise UserError(
                    f"{path}: {switch.name} and another switch both change {key}: let each of them "
                    "remove its own entries of a list, or make them one switch."
                )
    names = [switch.name for switch in switches]
    whole = configs.flatten(check(apply(config, switches, names)))
    for switch in switches:
        others = [name for name in names if name != switch.name]
        if configs.flatten(check(apply(config, switches, others))) == whole:
            raise UserError(f"{path}: {switch.name} changes nothing in this config: leave it out.")
    check(apply(config, switches, []))
    return switches


def _switch(path: Path, name: Any, written: Any) -> Switch:
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]+", name):
        raise UserError(f"{path}: {name!r} names no switch: use letters, digits, _, . and -.")
    if not isinstance(written, dict) or not written:
        raise UserError(f"{path}: {name} is {written!r}: write {_HINT.partition(', ')[2]}.")
    sides = written if set(written) <= {"with", "without"} else {"without": written}
    on, off = sides.get("with") or {}, sides.get("without") or {}
    for key, value in (*on.items(), *off.items()):
        if isinstance(value, dict):
            if set(value) != {"remove"}:
                raise UserError(f"{path}: {name} has {key}: {value!r}: write {{remove: ENTRY}}.")
            configs.convert(key, ())
        else:
            configs.convert(key, value)
    return Switch(name, on, off)


def apply(config: ConfigDict, switches: Sequence[Switch], on: Collection[str]) -> ConfigDict:
    """Returns the config with some switches on, and all others off.

    Raises:
      UserError: If that gives a value which is out of range.
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
    """Takes entries out; an operation may be named without its arguments."""
    asked = remove if isinstance(remove, list) else [remove]
    matches = {
        each: {e for e in entries if each in (e, str(e).partition("(")[0])} for each in asked
    }
    for each, found in matches.items():
        if not found:
            held = ", ".join(map(str, entries)) or "nothing"
            raise UserError(f"{name} removes {each!r} from {key}, which holds {held}: mend one.")
    gone = set().union(*matches.values())
    return tuple(entry for entry in entries if entry not in gone)


def runs(names: Sequence[str], modes: Collection[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields the runs of an ablation: a name, and which switches are on. None comes twice."""
    wanted = {"all": tuple(names), "none": ()}
    if "all-but-one" in modes:
        wanted |= {f"all-but-{n}": tuple(o for o in names if o != n) for n in names}
    if "only-one" in modes:
        wanted |= {f"only-{n}": (n,) for n in names}
    seen = set()
    for name, on in wanted.items():
        if on not in seen:
            seen.add(on)
            yield name, on
