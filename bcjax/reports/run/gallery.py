"""The pictures that a person should look at: errors, unsure predictions, explanations."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from bcjax.data.decode import decode, decode_file
from bcjax.data.prepared import PreparedSet
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.explanation.summary import ExplanationSummary
from bcjax.metrics import confusions
from bcjax.metrics.confusions import Confusion
from bcjax.reports.pages.formatting import NONE, percent, percent_interval
from bcjax.reports.pages.page import Block, CaptionedPicture, Gallery, Table, Text
from bcjax.reports.pages.pictures import resized
from bcjax.reports.run.calibration import no_answers
from bcjax.reports.run_record import RunRecord

_SHOWN = 16  # pictures in each gallery
_LISTED = 20  # pairs of classes in the table
_PAIRS = 5  # pairs of classes whose pictures are shown
_SHOWN_OF_PAIR = 8  # pictures of each
_SIDE = 112  # pixels of the longer side
_EXPLAINED = 8  # pictures with their maps
_WIDTH = 1000  # pixels, at most, of a picture with its maps


def errors(run: RunRecord) -> list[Block]:
    """Returns which classes are confused, the surest errors and the least sure predictions.

    Their pictures are shown if they are there.
    """
    if run.answers is None:
        return [no_answers(run)]
    pairs = _confusions(run.answers)
    table = [_confusions_table(pairs)] if pairs else []
    own, path = run.evaluation.source == run.config.data.source, run.prepared_path
    if not own or path is None or not PreparedSet.is_at(path):
        gone = "The pictures are no longer there, so they cannot be shown."
        return [*table, Text(gone, "soft")]
    prepared = PreparedSet(path)
    if run.trained_on and not run.trained_on.same_pictures(prepared.as_trained_on()):
        return [*table, Text(f"{path} holds other pictures now, so none is shown.", "soft")]
    return [*table, *_galleries(run, run.answers, pairs[:_PAIRS], prepared)]


def _confusions(answers: Answers) -> tuple[Confusion, ...]:
    predicted = answers.logits.argmax(axis=1)
    return confusions.ranked(answers.labels, predicted, answers.classes, answers.groups)


def _confusions_table(pairs: Sequence[Confusion]) -> Block:
    rows = [
        [pair.true, pair.predicted, f"{pair.count:,}", percent(pair.share.value),
         percent_interval(pair.share)]
        for pair in pairs
    ]  # fmt: skip
    head = ["true class", "taken for", "pictures", "share of the true class", "95 % interval"]
    caption = "Which classes are confused, most pictures first"
    if len(rows) > _LISTED:
        caption += f": the first {_LISTED} of {len(rows):,} pairs"
    return Table(head, rows[:_LISTED], caption, text_columns=2)


def _galleries(
    run: RunRecord, answers: Answers, pairs: Sequence[Confusion], prepared: PreparedSet
) -> list[Block]:
    probabilities = answers.probabilities()
    predicted = probabilities.argmax(axis=1)
    surest_first = np.argsort(-probabilities.max(axis=1), kind="stable")
    wrong = surest_first[predicted[surest_first] != answers.labels[surest_first]]
    least_sure = surest_first[::-1][:_SHOWN]
    wrong_block: Block
    if len(wrong):
        title = f"Wrong predictions: {len(wrong):,} of {answers.n:,}"
        title += f", the {_SHOWN} surest of them" if len(wrong) > _SHOWN else ""
        shown = _pictures(run, answers, probabilities, wrong[:_SHOWN], prepared)
        wrong_block = Gallery("errors", title, shown)
    else:
        wrong_block = Text(f"None of the {answers.n:,} predictions is wrong.")
    confused: list[Block] = []
    for position, pair in enumerate(pairs, start=1):
        true, other = map(answers.classes.index, (pair.true, pair.predicted))
        rows = wrong[(answers.labels[wrong] == true) & (predicted[wrong] == other)]
        title = f"{pair.true} taken for {pair.predicted}: {pair.count:,}"
        title += f", the {_SHOWN_OF_PAIR} surest of them" if len(rows) > _SHOWN_OF_PAIR else ""
        shown = _pictures(run, answers, probabilities, rows[:_SHOWN_OF_PAIR], prepared)
        confused.append(Gallery(f"confused_{position}", title, shown))
    shown = _pictures(run, answers, probabilities, least_sure, prepared)
    return [*confused, wrong_block, Gallery("least_sure", "The least sure predictions", shown)]


def _pictures(
    run: RunRecord,
    answers: Answers,
    probabilities: np.ndarray,
    rows: Int[np.ndarray, "n"],
    prepared: PreparedSet,
) -> Sequence[CaptionedPicture]:
    """Reads the pictures of some rows of the predictions."""
    split, max_pixels = run.evaluation.split, run.config.data.max_pixels
    position = {id_: i for i, id_ in enumerate(prepared.ids(split))}
    examples = prepared.examples(split)[[position[answers.ids[row]] for row in rows]]
    names = answers.classes
    pictures = []
    for row, example in zip(rows, examples, strict=True):
        true, best = answers.labels[row], probabilities[row].argmax()
        note = f"predicted {names[best]}, {percent(probabilities[row, best])}"
        if true != best:
            note += f"; {names[true]}: {percent(probabilities[row, true])}"
        pixels = resized(decode(example.image, max_pixels=max_pixels), _SIDE)
        pictures.append(CaptionedPicture(pixels, answers.ids[row], names[true], note))
    return pictures


def explanations(run: RunRecord) -> list[Block]:
    """Returns the explained pictures and how far the maps can be trusted, or how to get them."""
    explained = run.explained
    if not explained:
        return [
            Text(
                f"No prediction has been explained yet. To do so, run {run.command('explain')}.",
                "soft",
            )
        ]
    blocks: list[Block] = []
    if explained.checkpoint != run.evaluation.checkpoint:
        blocks.append(
            Text(
                f"The maps are of checkpoint {explained.checkpoint:,}, and everything else is "
                f"of {run.evaluation.checkpoint:,}: {run.command('explain')} draws them anew.",
                "bad",
            )
        )
    if pictures := _explained_pictures(run.run_dir.explanations, explained):
        title = f"What speaks for the {explained.target} class; pictures: {explained.chosen}"
        blocks.append(Gallery("explained", title, pictures, wide=True))
    return [*blocks, *_trust_in_maps(explained)]


def _explained_pictures(folder: Path, explained: ExplanationSummary) -> list[CaptionedPicture]:
    """Reads the first explained pictures of which the files are still there."""
    pictures = []
    for row in explained.pictures[:_EXPLAINED]:
        path = folder / row.file
        if path.exists():
            pixels = decode_file(path)
            pixels = resized(pixels, min(_WIDTH, max(pixels.shape)))
            note = f"predicted {row.predicted}, {percent(row.probability)}"
            label = row.label or "no known class"
            pictures.append(CaptionedPicture(pixels, row.id, label, note))
    return pictures


def _trust_in_maps(explained: ExplanationSummary) -> Iterator[Block]:
    """Yields how much the maps depend on what was learnt, and how much of them is on the cell."""
    sanity, cell = explained.sanity, explained.localisation
    if not (sanity or cell):
        return
    head = ["maps", *["rank correlation, n"] * bool(sanity), *["on the cell"] * bool(cell)]
    head += ["maximum on the cell"] * bool(cell)
    rows = []
    for method in explained.methods:
        row = [method]
        if sanity:
            value, n = sanity[method].rank_correlation, sanity[method].n
            row.append(NONE if value is None else f"{value:.2f}, {n:,}")
        if cell:
            row += [percent(cell.methods[method].energy), percent(cell.methods[method].pointing)]
        rows.append(row)
    yield Table(head, rows)
    if sanity:
        yield Text(
            "Rank correlation: with the maps of the same network after its parameters were "
            "randomised. Near 1, the maps show the picture and not what the network learnt.",
            "soft",
        )
    if cell:
        yield Text(
            f"On the cell: the share of a map that lies on the cell, n = {cell.n:,}. By chance "
            f"it would be the cell's share of the picture: {percent(cell.area)}.",
            "soft",
        )
