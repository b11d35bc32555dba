"""What the answers rest on: maps laid over pictures, and how far they can be believed."""

from collections.abc import Iterator

from bcjax.data.decode import decode_file
from bcjax.reports.pages.numbers import NONE, percent
from bcjax.reports.pages.pictures import fitted
from bcjax.reports.pages.story import Block, Gallery, Picture, Table, Text
from bcjax.reports.run.artefacts import Artefacts, Json
from bcjax.runtime.run_dir import RunDir

_SHOWN = 8  # pictures
_WIDTH = 1000  # pixels of each with its maps, at most


def explained(run: Artefacts) -> Iterator[Block]:
    """The overlays and the figures about them, or how to get them."""
    found = run.explained
    if not found:
        yield Text(f"No map was drawn: {run.command('explain')} draws some.", "soft")
        return
    if found["checkpoint"] != run.result["checkpoint"]:
        yield Text(
            f"The maps are of checkpoint {found['checkpoint']:,}, and all else is of "
            f"{run.result['checkpoint']:,}: {run.command('explain')} draws them anew.",
            "bad",
        )
    if hung := _hung(run):
        title = f"What speaks for the {found['target']} class; pictures: {found['chosen']}"
        yield Gallery("explained", title, hung, wide=True)
    yield from _believed(found)


def _hung(run: Artefacts) -> list[Picture]:
    """The pictures whose files are still there."""
    hung = []
    for row in run.explained["pictures"][:_SHOWN]:
        path = RunDir(run.workdir).explanations / row["file"]
        if path.exists():
            pixels = decode_file(path)
            pixels = fitted(pixels, min(_WIDTH, max(pixels.shape)))
            note = f"answered {row['predicted']}, {percent(row['probability'])}"
            hung.append(Picture(pixels, row["id"], row["label"] or "of no known class", note))
    return hung


def _believed(found: Json) -> Iterator[Block]:
    """How like those of a network that learnt nothing, and how much on the cell."""
    sanity, cell = found.get("sanity", {}), found.get("localisation", {})
    if not (sanity or cell):
        return
    head = ["maps", *["rank correlation, n"] * bool(sanity), *["on the cell"] * bool(cell)]
    head += ["maximum on the cell"] * bool(cell)
    rows = []
    for name in found["methods"]:
        row = [name]
        if sanity:
            value, n = sanity[name]["rank_correlation"], sanity[name]["n"]
            row.append(NONE if value is None else f"{value:.2f}, {n:,}")
        if cell:
            row += [percent(cell[name][what]) for what in ("energy", "pointing")]
        rows.append(row)
    yield Table(head, rows)
    if sanity:
        yield Text(
            "Rank correlation: with the maps of the same network after its parameters were "
            "randomised; near 1, they show the picture and not what was learnt.",
            "soft",
        )
    if cell:
        yield Text(
            f"On the cell: the share of a map that lies on it, n = {cell['n']:,}; the cell's own "
            f"share of the picture, which is chance: {percent(cell['area'])}.",
            "soft",
        )
