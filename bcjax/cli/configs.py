"""List the configs that come with bcjax, which --config and bcjax.get_config take by name.

  bcjax configs
  bcjax train --config=elu_cnn --config.data.source=PICTURES

What follows a colon is a variant: --config=resnet50:frozen. A network without a config of its own
is named in the same way, for the default settings: --config=convnext_tiny.
"""

from absl import flags
from rich.console import Console

from bcjax import config as configs
from bcjax.runtime.errors import UserError


def define(values: flags.FlagValues, argv: list[str]) -> None:
    pass


def run(values: flags.FlagValues, positional: list[str]) -> None:
    if positional:
        raise UserError(f"bcjax configs takes no arguments, not {positional[0]!r}.")
    console = Console(width=220)  # one line for each, however narrow the terminal
    for name, meaning in configs.names().items():
        console.print(f"{name:<18} {meaning}", highlight=False, markup=False)
