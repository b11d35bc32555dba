"""Time what training is made of, and say how far each part is from what the device can do.

  bcjax benchmark --config=configs/elu_cnn.py --config.data.image_size=64
  bcjax benchmark --config=configs/resnet50.py --what=step,evaluate,predict --json
  bcjax benchmark --config=configs/resnet50.py --what=step --trace=profile

Subjects of --what:
  start       from the start of the process to the end of its first step, cold and warm
  step        the bare compiled step
  input       what each store can feed
  train       the training loop beside the bare step, and with evaluation and checkpoint
  augment     the augmentation policy alone
  evaluate    evaluation of the watched split
  predict     answers by batch size: latency and rate
  checkpoint  save and restore

A device's peak is that of a matrix product and of a pass over memory, timed in the same sitting.
Nothing is kept: the workdir is a temporary one ($TMPDIR says on which disk).
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from absl import flags

from bcjax import config as configs
from bcjax.benchmark import SUBJECTS
from bcjax.cli import flags as cli_flags
from bcjax.runtime import files
from bcjax.runtime.errors import UserError


def define(values: flags.FlagValues, argv: list[str]) -> None:
    cli_flags.define_config(values)
    flags.DEFINE_list("what", ["step", "train"], "Subjects, by commas.", flag_values=values)
    flags.DEFINE_integer("steps", 40, "Steps in a turn.", 1, flag_values=values)
    flags.DEFINE_integer("repeats", 5, "Turns of each of two that compare.", 1, flag_values=values)
    flags.DEFINE_integer(
        "evaluations",
        1,
        "What --what=train times of a whole run: from one evaluation to the next, so many times, "
        "each with a checkpoint; 0: nothing.",
        0,
        flag_values=values,
    )
    flags.DEFINE_bool("json", False, "Print JSON instead of a table.", flag_values=values)
    cli_flags.define_path(values, "out", None, "Write the JSON to this file as well.")
    cli_flags.define_path(
        values, "trace", None, "Profile a few steps into this folder, for Perfetto or XProf."
    )


def run(values: flags.FlagValues, positional: list[str]) -> None:
    if positional:
        raise UserError(f"bcjax benchmark takes flags only, not {positional[0]!r}.")
    for name in values.what or ("",):
        if name not in SUBJECTS:
            hint = configs.nearest(name, list(SUBJECTS))
            raise UserError(f"--what has no subject {name!r}{hint}")
    config = cli_flags.read_config(values)
    out = Path(values.out) if values.out else None
    if out and not out.absolute().parent.is_dir():
        raise UserError(f"--out={out}: there is no folder {out.absolute().parent}; make it first.")
    traced = Path(values.trace) if values.trace else None
    if traced and traced.exists() and not traced.is_dir():
        raise UserError(f"--trace={traced} is a file: name a folder.")
    # Imported here, because JAX takes a second: a mistake in the flags should show before that.
    from bcjax.benchmark import suite
    from bcjax.runtime import compilation

    compilation.use_cache()
    found = suite.measure(
        config,
        cli_flags.config_arguments(values),
        values.what,
        steps=values.steps,
        repeats=values.repeats,
        evaluations=values.evaluations,
        traced=traced,
    )
    page = {"command": shlex.join(["bcjax", *sys.argv[1:]])} | found
    if out:
        files.write_json(out, page)
    if values.json:
        print(json.dumps(page, indent=2))
    else:
        _show(page)


def _show(page: dict[str, Any]) -> None:
    from rich.console import Console

    from bcjax.benchmark import tables

    Console().print(tables.table(page))
