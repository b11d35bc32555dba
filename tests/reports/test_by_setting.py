"""A metric over a setting: a line over numbers, bars of names."""

import pytest
from fabricated import answers, run
from matplotlib.colors import to_rgb
from numpy import arange

from bcjax.reports.comparison import compare
from bcjax.reports.comparison.charts import setting_chart
from bcjax.reports.comparison.page import write_comparison
from bcjax.reports.pages import charts
from bcjax.reports.pages.by_setting import Measured, draw, draw_bars
from bcjax.runtime.errors import UserError

INTERVALS = [Measured(8, 0.8, 0.7, 0.85), Measured(2, 0.5), Measured(4, 0.6, 0.5, 0.9, (0.5, 0.7))]


def test_numbers_are_a_line_in_their_order_with_intervals():
    with charts.style():
        (axes,) = draw("train.batch_size", "accuracy", INTERVALS).axes
    line, *others = axes.lines
    assert list(line.get_xdata()) == [2, 4, 8]
    assert list(line.get_ydata()) == [0.5, 0.6, 0.8]
    ends = [tuple(each.get_ydata()) for each in others]
    assert (0.5, 0.9) in ends
    assert (0.7, 0.85) in ends
    assert axes.get_xlabel() == "train.batch_size"
    assert axes.get_xscale() == "linear"


def test_numbers_far_apart_are_on_a_logarithmic_axis():
    with charts.style():
        (axes,) = draw("optim.lr", "accuracy", [Measured(1e-4, 0.5), Measured(1e-2, 0.6)]).axes
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize("values", [("a", "b"), (True, False), (("flip",), ()), (None, 0.1)])
def test_names_are_bars_from_zero(values):
    measured = [Measured(values[0], 0.5, 0.4, 0.6), Measured(values[1], 0.8)]
    with charts.style():
        (axes,) = draw("model.name", "accuracy", measured).axes
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 0.5), (0, 0.8)]
    assert any(tuple(line.get_xdata()) == (0.4, 0.6) for line in axes.lines)


def test_bars_of_differences_go_both_ways():
    with charts.style():
        (axes,) = draw_bars(
            "difference", [Measured("a", -0.1), Measured("b", 0.2)], signed=True
        ).axes
    assert [bar.get_width() for bar in axes.patches] == [-0.1, 0.2]
    assert to_rgb(axes.patches[0].get_facecolor()[:3]) == to_rgb(charts.ACCENT)


@pytest.fixture
def runs(tmp_path):
    """Two learning rates, of which the first has two seeds."""
    folders = []
    for lr, seed, right in ((0.1, 0, 30), (0.1, 1, 34), (0.2, 0, 20)):
        changes = {"optim.lr": lr, "seed": seed}
        folders.append(run(tmp_path / f"{lr}-{seed}", answers(arange(40) < right), **changes))
    return folders


def test_a_comparison_shows_its_metric_over_a_setting(runs, tmp_path):
    found = compare(*runs, by="optim.lr")
    (axes,) = setting_chart(found, "optim.lr").figure.axes
    assert list(axes.lines[0].get_xdata()) == [0.1, 0.2]
    assert list(axes.lines[0].get_ydata()) == pytest.approx([0.8, 0.5])
    path = write_comparison(found, tmp_path / "out")
    assert "Accuracy over optim.lr" in path.read_text()
    assert (tmp_path / "out" / "figures" / "by_setting.png").exists()


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("optim.lrr", "did you mean 'optim.lr'"),
        ("train.batch_size", r"All runs have the same config.train.batch_size.*\(optim.lr\)"),
        ("seed", "name another setting than seed"),
    ],
)
def test_a_setting_that_shows_nothing_is_refused(runs, key, named):
    with pytest.raises(UserError, match=named):
        compare(*runs, by=key)
