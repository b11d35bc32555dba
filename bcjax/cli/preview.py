"""Draw what the network is trained on, original beside augmented, and every augmentation alone.

  bcjax preview --config=elu_cnn --config.data.source=PICTURES --out=preview
  bcjax preview --config=... --config.augment.ops="('flip', 'rotate(30)', 'cutmix')"

Writes batch.png, the pictures of one training step as the network sees them, with their labels;
and operations.png, every augmentation at five magnitudes on the first of them.
"""

from pathlib import Path

from bcjax.cli.flags import CONFIG, Arguments, Flag, read_config
from bcjax.runtime import jax_settings

FLAGS = (
    CONFIG,
    Flag("out", "The folder to write to.", "preview", Path),
    Flag("step", "The training step whose batch is drawn.", 0, int, least=0),
    Flag("pictures", "How many pictures of the batch.", 16, int, least=1),
)


@jax_settings.fixed()
def run(arguments: Arguments) -> None:
    config = read_config(arguments)
    from bcjax.reports.preview import write_preview
    from bcjax.runtime import compilation

    compilation.use_cache()
    preview = write_preview(config, arguments.out, step=arguments.step, pictures=arguments.pictures)
    for id_, label in preview.labels:
        print(f"{id_}: {label}")
    print(f"written to {preview.batch}", f"written to {preview.operations}", sep="\n")
