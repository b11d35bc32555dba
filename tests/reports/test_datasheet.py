"""The datasheet of a prepared set, as the pages show it."""

import pytest

from bcjax.config import default
from bcjax.data.preparation import prepare
from bcjax.reports.datasheet import datasheet
from bcjax.reports.pages.page import Charts


@pytest.mark.parametrize(("keep", "left"), [((), 10), (("basophil=0.5",), 5)])
def test_the_classes_are_drawn_before_and_after_cleaning(keep, left):
    config = default()
    config.data.update({"source": "synthetic", "synthetic_images": 80, "keep": keep})
    blocks = datasheet(prepare(config.data).datasheet)
    drawn = [block.charts[0].figure for block in blocks if isinstance(block, Charts)]
    assert len(drawn) == bool(keep)
    for figure in drawn:
        found, prepared = figure.axes[0].containers
        assert [bar.get_width() for bar in found] == [10] * 8
        assert [bar.get_width() for bar in prepared] == [left, *[10] * 7]
