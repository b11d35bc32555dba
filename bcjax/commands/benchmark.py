"""Time the bare compiled step, or the training loop against it, in turns.

  bcjax benchmark --config=configs/elu_cnn.py --config.data.image_size=64
  bcjax benchmark --config=configs/resnet50.py --what=step

Prints one JSON object. Nothing is kept: the workdir is a temporary one.
"""

import contextlib
import json
import tempfile

from absl import flags

from bcjax.commands import config_flag
from bcjax.errors import UserError


def define(values: flags.FlagValues, argv: list[str]) -> None:
    config_flag.define(values, argv)
    flags.DEFINE_enum(
        "what", "loop", ["loop", "step"], "loop: both in turns; step: that alone.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer("steps", 40, "Steps in a turn.", 1, flag_values=values)
    flags.DEFINE_integer("repeats", 5, "Turns of each, for the loop.", 1, flag_values=values)


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax benchmark takes flags only, not {positional[0]!r}.")
    config = config_flag.read(values)
    # Here, for JAX takes a second to import, and a mistake in the flags should show before that.
    from bcjax import benchmark, compilation
    from bcjax.run import Run

    compilation.use_cache()
    with tempfile.TemporaryDirectory() as folder:
        config.workdir = folder
        with contextlib.closing(Run(config)) as training:
            if values.what == "step":
                result = benchmark.bare_step(training, values.steps)
            else:
                result = benchmark.loop_against_step(training, values.steps, values.repeats)
    print(json.dumps(result, indent=2))
    return 0
