"""The model card: what the hub's own library reads, with the evaluation's figures in it."""

import json

import pytest
import yaml

from bcjax.reports.run.model_card import model_card
from bcjax.reports.run_record import read_run


@pytest.fixture(scope="module")
def written(trained):
    return model_card(read_run(trained.workdir, "test"))


@pytest.fixture(scope="module")
def result(trained):
    return json.loads((trained.workdir / "eval" / "test.json").read_text())


def test_its_front_matter_holds_every_defined_metric(written, result):
    _, front, _ = written.split("---\n", 2)
    known = yaml.safe_load(front)
    (index,) = known["model-index"]
    (found,) = index["results"]
    values = [figure["value"] for figure in result["metrics"].values()]
    assert [metric["value"] for metric in found["metrics"]] == [v for v in values if v is not None]
    assert found["dataset"] == {"name": "synthetic", "type": "synthetic", "split": "test"}
    assert known["license"] == "unknown"  # which is for the user to say
    assert known["pipeline_tag"] == "image-classification"


def test_it_names_the_classes_the_headline_and_the_limits(written, result):
    assert all(name in written for name in result["classes"])
    for key in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert f"{result['metrics'][key]['value']:.4f}" in written
    assert "medical device" in written


def test_the_hub_reads_it(written, result):
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(written).data
    scores = {each.metric_type: each.metric_value for each in data.eval_results}
    assert scores["accuracy"] == result["metrics"]["accuracy"]["value"]
    assert data.model_name


def test_it_names_no_folder_of_this_machine(written, trained):
    assert str(trained.workdir.parent) not in written
