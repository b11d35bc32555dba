"""The app of a run, ready to be served: exported anew where it is not of the run as it is now."""

import shutil
import tempfile
from pathlib import Path

from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.exports import export as exporting
from bcjax.exports.servable import servable
from bcjax.exports.webapp import folder as webapp
from bcjax.runtime import files


def ready(net: TrainedNetwork, folder: Path) -> bool:
    """Sees to it that a folder holds the app of a network.

    Args:
      net: The network.
      folder: The folder of the app. What another network or version left there is replaced; files
        beside it stay.

    Returns:
      Whether it had to be exported.

    Raises:
      UserError: As `exports.export`.
      FailedCheckError: As `exports.export`.
    """
    if webapp.made_from(folder) == webapp.fingerprint(servable(net)):
        return False
    with tempfile.TemporaryDirectory(prefix="bcjax-app-") as temporary:
        exporting.export(net, Path(temporary), ("webapp",))
        with files.atomic(folder) as partial:
            shutil.copytree(Path(temporary) / webapp.FOLDER, partial)
    return True
