"""Time the training loop against its bare compiled step, in turns.

  bcjax benchmark --config=configs/elu_cnn.py --config.data.image_size=64

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
    flags.DEFINE_integer("steps", 40, "Steps in a turn.", 1, flag_values=values)
    flags.DEFINE_integer("repeats", 5, "Turns of each.", 1, flag_values=values)


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
            result = benchmark.loop_against_step(training, values.steps, values.repeats)
    print(json.dumps(result, indent=2))
    return 0
