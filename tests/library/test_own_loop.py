"""examples/own_loop.py trains with a step of its own, and what it writes is a run."""

import importlib.util

import numpy as np
import pytest
from places import ROOT

import bcjax
from bcjax.data.sources import synthetic


@pytest.mark.slow
def test_a_loop_of_ones_own_trains_and_writes_a_run_that_can_be_loaded(tmp_path):
    path = ROOT / "examples" / "own_loop.py"
    spec = importlib.util.spec_from_file_location("own_loop", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    small = {"data.synthetic_images": 80, "train.batch_size": 8, "augment.ops": ()}
    losses = example.main(tmp_path / "run", steps=30, **small)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    images = [synthetic.draw(label, 0, size=40).image for label in range(8)]
    predictions = bcjax.load(tmp_path / "run").predict(images)
    assert predictions.classes == synthetic.CLASSES
    assert len(set(predictions.labels)) > 1


def test_the_page_shows_the_example():
    page = (
        (ROOT / "docs" / "extending.md").read_text().partition("## A training loop of your own")[2]
    )
    shown = page.partition("```python\n")[2].partition("```")[0]
    example = (ROOT / "examples" / "own_loop.py").read_text()
    assert 15 < len(shown.splitlines()) < 25
    for line in filter(None, map(str.strip, shown.splitlines())):
        assert line in example
