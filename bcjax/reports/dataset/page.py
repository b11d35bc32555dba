"""One page that shows a data set, with everything that it needs inside it."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from bcjax.data.curate import findings, leaks
from bcjax.data.prepared import PreparedSet
from bcjax.reports.dataset import cards, charts, gallery, points
from bcjax.reports.dataset.features import Network, of_colours
from bcjax.reports.dataset.look import look, sample
from bcjax.reports.pages import document, palette
from bcjax.runtime import files

_SEED = 0  # of what is drawn, so that the same set makes the same page
_POINTS = 2000  # on the map


def write(prepared: PreparedSet, data: ConfigDict, out: Path, network: Network | None) -> int:
    """Writes the page, whole or not at all.

    Args:
      prepared: What to show.
      data: The config's `data` branch: how cells are masked, and what many copies are.
      out: The file.
      network: What places the pictures on the map; None: their colours do.

    Returns:
      The page's bytes.
    """
    rng = np.random.default_rng(_SEED)
    pictures = look(prepared, data.threads)
    labels = np.array([record.label for record in pictures.records])
    mapped = sample(labels, _POINTS, rng)
    features = network(pictures.records, mapped) if network else of_colours(pictures.measures)
    found = findings.find_remarkable(pictures, max_copies=data.max_copies)
    shown = gallery.Shown(pictures.records, prepared.classes)
    html = (
        document.environment("bcjax.reports.dataset")
        .get_template("explore.html")
        .render(
            name=Path(data.source).name or data.source,
            location=data.source,
            prepared=prepared,
            datasheet=prepared.datasheet,
            leaks=(prepared.leaks if prepared.datasheet else leaks.find_leaks(pictures)).sentence,
            charts=charts.charts(prepared, pictures.measures, labels),
            cards=cards.cards(pictures, labels, prepared.classes, data, rng),
            doubles=shown.galleries(found, gallery.DOUBLES),
            outliers=shown.galleries(found, gallery.OUTLIERS),
            far=shown.far_off(features),
            features=features,
            map=points.map_of(features, mapped, pictures.records, _SEED),
            colours=palette.of_classes(len(prepared.classes)),
            split_colours=palette.SPLITS,
        )
    )
    files.write_text(out, html)
    return out.stat().st_size
