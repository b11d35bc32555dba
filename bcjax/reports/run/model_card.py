"""The model card as Hugging Face reads it, and the limitations of what was measured.

After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019). The licence is the user's to
choose.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bcjax.config import ImageSize
from bcjax.data.ancestry import Ancestry
from bcjax.evaluation.guards.pictures import about_published
from bcjax.metrics import Estimate
from bcjax.metrics.names import metric_name
from bcjax.reports import cost
from bcjax.reports.pages import page
from bcjax.reports.pages.formatting import enumeration, interval, number, percent_interval
from bcjax.reports.run import other_runtimes
from bcjax.reports.run.calibration import temperature_in_words
from bcjax.reports.run.performance import HEADLINE
from bcjax.reports.run_record import RunRecord
from bcjax.runtime.errors import UserError

# The names of metrics on the hub, where they differ from ours.
_HUB = {
    "macro_f1": "f1",
    "macro_auc": "roc_auc",
    "kappa": "cohen_kappa",
    "mcc": "matthews_correlation",
}
_FEW = 50  # pictures; with these, a recall of 90 % is known to within about 8 points
_NAMED = 12  # classes that a sentence names


def model_card(run: RunRecord) -> str:
    """Returns the card: YAML that the hub searches, then Markdown for people."""
    metrics = run.evaluation.metrics
    front = yaml.safe_dump(_front_matter(run), sort_keys=False, allow_unicode=True, width=100)
    template = page.environment().get_template("model_card.md")
    return template.render(
        front=front,
        run=run,
        name=_name(run),
        model=run.config.model.name,
        size=ImageSize.of(run.config.data.image_size),
        classes=run.evaluation.classes,
        rows=[
            (
                metric_name(key),
                number(metrics[key].value),
                interval(metrics[key]),
                f"{metrics[key].n:,}",
            )
            for key in HEADLINE
        ],
        limitations=limitations(run),
        calibration=_calibration(run),
        costs=_costs(run),
        files_head=other_runtimes.HEAD,
        files=other_runtimes.rows(run),
    )


def _costs(run: RunRecord) -> list[tuple[str, str, str]]:
    """Returns the rows of what the run costs; none if its network cannot be built."""
    try:
        return cost.rows(cost.cost(run))
    except UserError:
        return []


def _calibration(run: RunRecord) -> str:
    """Returns the sentences about what `predict` makes of the probabilities; "" without any."""
    found = run.evaluation.calibration
    if not found:
        return ""
    fitted = (
        f"The calibration{temperature_in_words(found)} was fitted on {found.fitted_n:,} pictures "
        f"of the {found.fitted_on} split."
    )
    return " ".join([fitted, *found.unfitted])


def limitations(run: RunRecord) -> list[str]:
    """Returns sentences about what the figures do not say, as far as it can be computed."""
    result = run.evaluation
    sentences = [
        "This is not a medical device: nothing here was tried on patients, and no figure is of "
        "use for a diagnosis.",
        *run.cautions,
        *about_published(Ancestry.read(run.run_dir.path)),
    ]
    if run.config.data.source == "synthetic":
        sentences.append("The pictures are drawings: nothing follows from them about blood.")
    if few := [row for row in result.per_class if 0 < row.n < _FEW]:
        widest = max(few, key=lambda row: _width(row.recall))
        bounds = percent_interval(widest.recall).replace(" - ", " and ")
        sentences.append(
            f"These classes have fewer than {_FEW} pictures each: "
            f"{_first_names([row.name for row in few])}. The recall of {widest.name} "
            f"({widest.n:,} pictures), for example, is only known to lie between {bounds} "
            "(95 %)."
        )
    if absent := [row.name for row in result.per_class if not row.n]:
        sentences.append(
            f"There are no pictures of these classes to measure on: {_first_names(absent)}."
        )
    if run.answers is None or not any(run.answers.groups):
        sentences.append(
            "The data names no patients or slides: pictures of one patient may lie on both sides "
            "of the split, and the intervals take the pictures to be independent of each other."
        )
    if not run.other_laboratories:
        sentences.append(
            "All pictures are from one source: how the figures change with another laboratory's "
            "stain, microscope or camera is not known."
        )
    if not run.corruptions:
        sentences.append("How the figures change with blur, noise or other light was not tried.")
    if not run.run_dir.is_one_of_several:
        sentences.append(
            "One network was trained: how far the figures of another seed would differ is not "
            "known."
        )
    sentences.append(
        "The intervals tell how the figures would vary with other pictures of the same kind, and "
        "say nothing about anything else that may differ elsewhere."
    )
    return sentences


def _width(estimate: Estimate | None) -> float:
    if not estimate or estimate.low is None or estimate.high is None:
        return 0.0
    return estimate.high - estimate.low


def _first_names(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return enumeration([*names[:_NAMED], *([f"{more:,} more"] if more > 0 else [])])


def _name(run: RunRecord) -> str:
    return run.run_dir.path.resolve().name


def _front_matter(run: RunRecord) -> dict[str, Any]:
    data = Path(run.source).stem
    metrics = {key: m for key, m in run.evaluation.metrics.items() if m.value is not None}
    tags = ["bcjax", "jax", "flax", "image-classification", "blood-cells", run.config.model.name]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": data, "type": data, "split": run.evaluation.split},
        "metrics": [_hub_metric(key, each, run.cautions) for key, each in metrics.items()],
    }
    return {
        "license": "unknown",
        "library_name": "bcjax",
        "pipeline_tag": "image-classification",
        "tags": tags,
        "datasets": [data],
        "metrics": [_HUB.get(key, key) for key in metrics],
        "model-index": [{"name": _name(run), "results": [result]}],
    }


def _hub_metric(key: str, estimate: Estimate, cautions: Sequence[str]) -> dict[str, Any]:
    read = "; read the cautions first" if cautions else ""
    name = f"{metric_name(key)} (95 % interval {interval(estimate)}, n = {estimate.n:,}{read})"
    return {"type": _HUB.get(key, key), "name": name, "value": estimate.value}
