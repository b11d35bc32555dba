"""Time what training is made of, and say how far each part is from what the device can do.

  bcjax benchmark --config=elu_cnn --config.data.source=PICTURES --config.data.image_size=64
  bcjax benchmark --config=quickstart --what=step,evaluate,predict --json
  bcjax benchmark --config=resnet50 --config.data.source=PICTURES --what=step --trace=profile

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

from bcjax import config as configs
from bcjax.benchmark import SUBJECTS
from bcjax.cli.flags import CONFIG, JSON, Arguments, Flag, config_arguments, read_config
from bcjax.runtime import files, jax_settings
from bcjax.runtime.errors import UserError

FLAGS = (
    CONFIG,
    Flag("what", "Subjects, by commas.", ["step", "train"], list),
    Flag("steps", "Steps in a turn.", 40, int, least=1),
    Flag("repeats", "Turns of each of two that compare.", 5, int, least=1),
    Flag(
        "evaluations",
        "What --what=train times of a whole run: from one evaluation to the next, so many times, "
        "each with a checkpoint; 0: nothing.",
        1,
        int,
        least=0,
    ),
    JSON,
    Flag("out", "Write the JSON to this file as well.", kind=Path),
    Flag("trace", "Profile a few steps into this folder, for Perfetto or XProf.", kind=Path),
)


@jax_settings.fixed()
def run(arguments: Arguments) -> None:
    for name in arguments.what or ("",):
        if name not in SUBJECTS:
            hint = configs.nearest(name, list(SUBJECTS))
            raise UserError(f"--what has no subject {name!r}{hint}")
    config = read_config(arguments)
    out, traced = arguments.out, arguments.trace
    if out and not out.absolute().parent.is_dir():
        raise UserError(f"--out={out}: there is no folder {out.absolute().parent}; make it first.")
    if traced and traced.exists() and not traced.is_dir():
        raise UserError(f"--trace={traced} is a file: name a folder.")
    from rich.console import Console

    from bcjax.benchmark import suite, tables
    from bcjax.runtime import compilation

    compilation.use_cache()
    found = suite.measure(
        config,
        config_arguments(arguments),
        arguments.what,
        steps=arguments.steps,
        repeats=arguments.repeats,
        evaluations=arguments.evaluations,
        traced=traced,
    )
    page = {"command": shlex.join(["bcjax", *sys.argv[1:]])} | found.to_dict()
    if out:
        files.write_json(out, page)
    if arguments.json:
        print(json.dumps(page, indent=2))
    else:
        Console().print(tables.table(found))
