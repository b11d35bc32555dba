"""What the figures do not say, as far as it can be computed."""

from bcjax.reports.pages.numbers import listed, span
from bcjax.reports.run.answer import cautions
from bcjax.reports.run.artefacts import Artefacts
from bcjax.reports.run.elsewhere import laboratories

_FEW = 50  # pictures, with which a recall of 90 % is known to within some 8 points
_NAMED = 12  # classes in a sentence


def limits(run: Artefacts) -> list[str]:
    """Sentences about what this report cannot know."""
    result = run.result
    said = [
        "This is not a medical device: nothing here was tried on patients, and no figure is of "
        "use for a diagnosis.",
        *cautions(run),
    ]
    if run.config.data.source == "synthetic":
        said.append("The pictures are drawings: nothing follows from them about blood.")
    if few := [each for each in result["per_class"] if 0 < each["n"] < _FEW]:
        widest = max(few, key=lambda each: each["recall"]["high"] - each["recall"]["low"])
        said.append(
            f"Fewer than {_FEW} pictures each: {_names([each['name'] for each in few])}. Of "
            f"{widest['name']} ({widest['n']:,}) the recall is known only to lie between "
            f"{span(widest['recall']).replace(' - ', ' and ')} (95 %)."
        )
    if absent := [each["name"] for each in result["per_class"] if not each["n"]]:
        said.append(f"No picture measured on is of {_names(absent)}.")
    groups = run.answers is not None and any(run.answers.groups)
    if not groups:
        said.append(
            "The data names no patients or slides: pictures of one patient may lie on both sides "
            "of the split, and the intervals take each picture for an independent one."
        )
    if not laboratories(run):
        said.append(
            "All pictures are of one source: what another laboratory's stain, microscope or "
            "camera makes of these figures is not known."
        )
    if not run.corruptions:
        said.append("What blur, noise or another light make of these figures was not tried.")
    if not run.several_seeds:
        said.append("One network was trained: how far another seed's would lie is not known.")
    said.append(
        "The intervals are about the choice of these pictures out of many like them, and about "
        "nothing else that may differ elsewhere."
    )
    return said


def _names(names: list[str]) -> str:
    more = len(names) - _NAMED
    return listed([*names[:_NAMED], *([f"{more:,} more"] if more > 0 else [])])
