"""Draw what the network is trained on, original beside augmented, and every augmentation alone.

  bcjax preview --config=configs/elu_cnn.py --config.data.source=PICTURES --out=preview
  bcjax preview --config=... --config.augment.ops="('flip', 'rotate(30)', 'cutmix')"

Writes batch.png, the pictures of one training step as the network sees them, with their labels;
and operations.png, every augmentation at five magnitudes on the first of them.
"""

from absl import flags
from rich.console import Console

from bcjax.cli import flags as cli_flags
from bcjax.runtime.errors import UserError


def define(values: flags.FlagValues, argv: list[str]) -> None:
    cli_flags.define_config(values)
    cli_flags.define_path(values, "out", "preview", "The folder to write to.")
    flags.DEFINE_integer(
        "step", 0, "The training step whose batch is drawn.", 0, flag_values=values
    )
    flags.DEFINE_integer("pictures", 16, "How many pictures of the batch.", 1, flag_values=values)


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax preview takes flags only, not {positional[0]!r}.")
    config = cli_flags.read_config(values)
    # Here, because JAX takes a second to import, and a mistake in the flags should show first.
    from bcjax.reports.preview import write_preview
    from bcjax.runtime import compilation

    compilation.use_cache()
    preview = write_preview(config, values.out, step=values.step, pictures=values.pictures)
    console = Console()
    for id_, label in preview.labels:
        console.print(f"{id_}: {label}", highlight=False)
    for path in (preview.batch, preview.operations):
        console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0
