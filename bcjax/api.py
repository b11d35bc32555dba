"""The functions of `import bcjax`: what the commands call, for notebooks and scripts.

They print nothing, take paths as text or `Path`, and raise `UserError`, with the sentence that the
command line prints, for whatever the user can mend.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bcjax import config as configs
from bcjax import models
from bcjax.config import ConfigDict
from bcjax.evaluation import predictor
from bcjax.evaluation.predictor import Predictor
from bcjax.runtime import compilation, plugins


def get_config(name: str | Path, overrides: Mapping[str, Any] | None = None) -> ConfigDict:
    """Returns a checked config, which may be changed further.

    Example:
      >>> config = bcjax.get_config("resnet18", {"optim.lr": 3e-4})
      >>> config.model.name, config.optim.lr
      ('resnet18', 0.0003)

    Args:
      name: The path of a config file; the name of one in configs/, such as "quickstart", perhaps
        with its variant ("resnet18:small"); or the name of a network, for the defaults with it.
      overrides: Values by key.

    Raises:
      UserError: If there is no such config, network or key, or a key may not have that value.
    """
    overrides = overrides or {}
    plugins.load(overrides.get("imports", ()))  # which may register the network
    return configs.get(name, overrides, networks=models.MODELS)


def load(workdir: str | Path, checkpoint: str | int = "best") -> Predictor:
    """Reads a trained network from the folder of its run.

    Example:
      >>> net = bcjax.load("runs/convnext_tiny")                     # doctest: +SKIP
      >>> net.predict("cells/")                                      # doctest: +SKIP

    Args:
      workdir: The run's folder.
      checkpoint: "best", "latest" or a step.

    Raises:
      UserError: If there is no such checkpoint, or it needs something that is gone.
    """
    compilation.use_cache()
    return predictor.load(workdir, checkpoint)
