"""The diagram of a network: what it says, and that nothing on it covers another thing."""

import json
import re

import pytest
from commandline import refused, run_bcjax
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bcjax.config import ImageSize
from bcjax.models import MODELS, create
from bcjax.models.stages import stages
from bcjax.reports import network_diagram
from bcjax.reports.pages import charts


def drawn(name, classes=1000):
    side = MODELS[name].input_size
    found = stages(create(name, classes=classes), ImageSize.of(side))
    return found, network_diagram.chart(found, (side, side, 3), name)


def words(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_every_stage_stands_there_with_its_shape_and_parameters():
    found, chart = drawn("resnet18")
    said = words(chart.svg)
    assert said[:2] == ["picture", "224 x 224 x 3"]
    names = [stage.name for stage in found]
    assert [word for word in said if word in names] == names
    for stage in found:
        assert network_diagram.shape_in_words(stage.shape) in said
        assert any(word.startswith(f"{stage.parameters:,} (") for word in said)
        assert network_diagram.layers_in_words(stage) in said


@pytest.mark.parametrize(
    "name", ["efficientnet_lite0", "googlenet", "vit_base", "vgg11", "elu_cnn"]
)
def test_no_text_leaves_the_figure_or_covers_another(name):
    _, chart = drawn(name)
    with charts.style():
        renderer = FigureCanvasAgg(chart.figure).get_renderer()
        texts = [text for text in chart.figure.axes[0].texts if text.get_text()]
        boxes = [text.get_window_extent(renderer) for text in texts]
    width, height = chart.figure.get_size_inches() * chart.figure.dpi
    for position, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[position + 1 :])


def test_a_stage_of_many_kinds_of_layers_is_shortened():
    found, _ = drawn("resnet18")
    many = {f"conv {size}x{size}": 1 for size in range(1, 20, 2)}
    stage = found[0].__class__("stem", 12, many, (8, 8, 4), 100)
    said = words(network_diagram.chart([stage], (8, 8, 3), "one").svg)
    (line,) = [word for word in said if "12 blocks" in word]
    assert line.endswith(", ...")
    assert len(line) <= 44


@pytest.mark.parametrize("ending", [".svg", ".pdf", ".png"])
def test_the_command_writes_what_the_ending_says(tmp_path, ending):
    path = tmp_path / f"drawn{ending}"
    ran = run_bcjax("models", "lenet5", f"--diagram={path}")
    assert ran.status == 0, ran.err
    assert f"written to {path}" in ran.out
    assert "146,156" in ran.out
    begins = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}
    written = path.read_bytes()
    assert written.startswith(begins[ending])
    run_bcjax("models", "lenet5", f"--diagram={path}")
    assert path.read_bytes() == written


def test_without_a_name_the_file_is_named_after_the_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_bcjax("models", "lenet5", "--diagram").status == 0
    assert words((tmp_path / "lenet5.svg").read_text())[0] == "picture"


def test_the_stages_are_told_as_json_too():
    page = json.loads(run_bcjax("models", "lenet5", "--json").out)
    assert page["stages"] == ["stage1", "stage2", "head"]
    assert page["layout"][1]["shape"] == [5, 5, 16]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["renset18"], "did you mean 'resnet18'"),
        (["--diagram"], "Name the network to draw"),
        (["lenet5", "vgg11"], "One network is shown at a time"),
        (["lenet5", "--diagram=x.gif"], "give a file that ends in .svg, .pdf, .png"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, named):
    refused(run_bcjax("models", *arguments), named)
