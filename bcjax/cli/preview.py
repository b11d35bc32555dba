"""Draw what the network is fed, original beside augmented, and every augmentation by itself.

  bcjax preview --config=configs/elu_cnn.py --config.data.source=PICTURES --out=preview
  bcjax preview --config=... --config.augment.ops="('flip', 'rotate(30)', 'cutmix')"

Writes batch.png, the pictures of one training step as training sees them, with their
labels; and operations.png, every operation at five magnitudes on the first of them.
"""

from pathlib import Path

from absl import flags
from rich.console import Console

from bcjax.cli import config_flag
from bcjax.runtime.errors import UserError


def define(values: flags.FlagValues, argv: list[str]) -> None:
    config_flag.define(values)
    flags.DEFINE_string("out", "preview", "The folder to write to.", flag_values=values)
    flags.DEFINE_integer("step", 0, "Whose batch is drawn.", 0, flag_values=values)
    flags.DEFINE_integer("pictures", 16, "How many of it.", 1, flag_values=values)


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax preview takes flags only, not {positional[0]!r}.")
    config = config_flag.read(values)
    # Here, for JAX takes a second to import, and a mistake in the flags should show before that.
    from bcjax.reports import preview
    from bcjax.runtime import compilation

    compilation.use_cache()
    fed = preview.fed(config, values.step)
    count = min(values.pictures, len(fed.ids))
    out = Path(values.out)
    out.mkdir(parents=True, exist_ok=True)
    console = Console()
    for id_, labels in zip(fed.ids[:count], fed.labels, strict=False):
        console.print(f"{id_}: {preview.described(labels, fed.classes)}", highlight=False)
    for name, figure in (
        ("batch.png", preview.grid(fed, count)),
        ("operations.png", preview.sheet(*fed.originals[[0, -1]])),
    ):
        figure.savefig(out / name, dpi=150)
        console.print(f"written to {out / name}", highlight=False, soft_wrap=True)
    return 0
