"""The functions of `import bcjax`: what the commands call, for notebooks and scripts.

They print nothing, take paths as text or `Path`, and raise `UserError`, with the sentence that the
command line prints, for whatever the user can mend.
"""

from pathlib import Path

from bcjax.evaluation import predictor
from bcjax.evaluation.predictor import Predictor
from bcjax.runtime import compilation


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
