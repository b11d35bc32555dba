"""bcjax trains blood-cell classifiers in JAX, from a laptop to a TPU pod, with one config.

    import bcjax

    config = bcjax.get_config("convnext_tiny", {"data.source": "cells/", "optim.lr": 3e-4})
    outcome = bcjax.train(config)
    net = bcjax.load("runs/convnext_tiny")
    net.predict("more_cells/")

`import bcjax` is quick: a name is imported when it is first used. All public names are in `_NAMES`
below; the rooms (`bcjax.engine`, `bcjax.metrics`, ...) are modules as usual.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; the same names as in `_NAMES`
    from bcjax.api import ablate as ablate
    from bcjax.api import calibrate as calibrate
    from bcjax.api import compare as compare
    from bcjax.api import evaluate as evaluate
    from bcjax.api import explore as explore
    from bcjax.api import export as export
    from bcjax.api import get_config as get_config
    from bcjax.api import load as load
    from bcjax.api import prepare as prepare
    from bcjax.api import report as report
    from bcjax.api import sweep as sweep
    from bcjax.api import train as train
    from bcjax.data.prepared import PreparedSet as PreparedSet
    from bcjax.evaluation.calibration.calibration import Calibration as Calibration
    from bcjax.evaluation.evaluation import Evaluation as Evaluation
    from bcjax.evaluation.explanation.explanation import Explanation as Explanation
    from bcjax.evaluation.predictions import Embeddings as Embeddings
    from bcjax.evaluation.predictions import Prediction as Prediction
    from bcjax.evaluation.predictions import Predictions as Predictions
    from bcjax.evaluation.trained_ensemble import TrainedEnsemble as TrainedEnsemble
    from bcjax.evaluation.trained_network import TrainedNetwork as TrainedNetwork
    from bcjax.exports.exported import Exported as Exported
    from bcjax.reports.comparison import Comparison as Comparison
    from bcjax.reports.run import Report as Report
    from bcjax.runtime.errors import UserError as UserError
    from bcjax.training.loop import Outcome as Outcome
    from bcjax.tune.ablation import AblationResult as AblationResult
    from bcjax.tune.sweep import SweepResult as SweepResult

__version__ = "0.1.0"

# Every public name, and the module that it is in.
_NAMES = {
    "ablate": "bcjax.api",
    "calibrate": "bcjax.api",
    "compare": "bcjax.api",
    "evaluate": "bcjax.api",
    "explore": "bcjax.api",
    "export": "bcjax.api",
    "get_config": "bcjax.api",
    "load": "bcjax.api",
    "prepare": "bcjax.api",
    "report": "bcjax.api",
    "sweep": "bcjax.api",
    "train": "bcjax.api",
    "AblationResult": "bcjax.tune.ablation",
    "Calibration": "bcjax.evaluation.calibration.calibration",
    "Comparison": "bcjax.reports.comparison",
    "Embeddings": "bcjax.evaluation.predictions",
    "Evaluation": "bcjax.evaluation.evaluation",
    "Explanation": "bcjax.evaluation.explanation.explanation",
    "Exported": "bcjax.exports.exported",
    "Outcome": "bcjax.training.loop",
    "Prediction": "bcjax.evaluation.predictions",
    "Predictions": "bcjax.evaluation.predictions",
    "TrainedEnsemble": "bcjax.evaluation.trained_ensemble",
    "TrainedNetwork": "bcjax.evaluation.trained_network",
    "PreparedSet": "bcjax.data.prepared",
    "Report": "bcjax.reports.run",
    "SweepResult": "bcjax.tune.sweep",
    "UserError": "bcjax.runtime.errors",
}
_ROOMS = (
    "augment", "benchmark", "config", "data", "engine", "evaluation", "exports", "metrics",
    "models", "register", "reports", "runtime", "serve", "training", "tune",
)  # fmt: skip

__all__ = ["__version__", *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return importlib.import_module(f"bcjax.{name}")
    raise AttributeError(f"module 'bcjax' has no attribute {name!r}", name=name, obj=None)


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])
