"""A model card as Hugging Face reads it: YAML for its search, Markdown for people.

After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019). The licence is the user's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bcjax.reports.pages import document
from bcjax.reports.pages.numbers import interval, number
from bcjax.reports.pages.story import plain
from bcjax.reports.run.answer import HEADLINE, spelt
from bcjax.reports.run.artefacts import Artefacts
from bcjax.reports.run.limits import limits

# Their names on the hub, where it has one.
_HUB = {
    "macro_f1": "f1",
    "macro_auc": "roc_auc",
    "kappa": "cohen_kappa",
    "mcc": "matthews_correlation",
}


def card(run: Artefacts) -> str:
    """Returns the card of a run, from its artefacts alone."""
    environment = document.environment("bcjax.reports.run")
    environment.filters["plain"] = plain
    front = yaml.safe_dump(_front(run), sort_keys=False, allow_unicode=True, width=100)
    metrics = run.result["metrics"]
    return environment.get_template("card.md").render(
        front=front,
        run=run,
        model=run.config.model.name,
        size=run.config.data.image_size,
        classes=run.result["classes"],
        rows=[
            (name, number(metrics[key]["value"]), interval(metrics[key]), f"{metrics[key]['n']:,}")
            for key, name in HEADLINE.items()
        ],
        limits=limits(run),
    )


def _front(run: Artefacts) -> dict[str, Any]:
    data = Path(run.source).stem
    measured = {key: m for key, m in run.result["metrics"].items() if m["value"] is not None}
    return {
        "license": "unknown",
        "library_name": "bcjax",
        "pipeline_tag": "image-classification",
        "tags": [
            "bcjax",
            "jax",
            "flax",
            "image-classification",
            "blood-cells",
            run.config.model.name,
        ],
        "datasets": [data],
        "metrics": [_HUB.get(key, key) for key in measured],
        "model-index": [
            {
                "name": run.workdir.resolve().name,
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": data, "type": data, "split": run.split},
                        "metrics": [_metric(key, each) for key, each in measured.items()],
                    }
                ],
            }
        ],
    }


def _metric(key: str, figure: Mapping[str, Any]) -> dict[str, Any]:
    said = f"{spelt(key)} (95 % interval {interval(figure)}, n = {figure['n']:,})"
    return {"type": _HUB.get(key, key), "name": said, "value": figure["value"]}
