"""List the configs that come with bcjax, which --config and bcjax.get_config take by name.

  bcjax configs
  bcjax train --config=elu_cnn --config.data.source=PICTURES

What follows a colon is a variant: --config=resnet50:frozen. A network without a config of its own
is named in the same way, for the default settings: --config=convnext_tiny.
"""

from bcjax import config as configs
from bcjax.cli.flags import Arguments

FLAGS = ()


def run(arguments: Arguments) -> None:
    for name, meaning in configs.names().items():
        print(f"{name:<24} {meaning}")
