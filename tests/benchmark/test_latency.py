"""benchmarks/latency.py: what the turns of all sides come to."""

import json
import sys

import pytest
from commandline import ROOT

sys.path.append(str(ROOT / "benchmarks"))

import latency


def timed(ms):
    return {"batch_size": 1, "p50_ms": ms, "p99_ms": 2 * ms, "images_per_s": 1e3 / ms, "calls": 20}


def row(*turns):
    """Waits of bcjax, PyTorch and ONNX Runtime in each turn."""
    return latency.medians(
        [dict(zip(latency.SIDES, map(timed, waits), strict=True)) for waits in turns]
    )


def test_a_ratio_is_the_median_of_the_turns_and_above_one_where_ours_is_faster():
    found = row((10.0, 20.0, 5.0), (40.0, 40.0, 10.0), (20.0, 80.0, 20.0))
    assert found["bcjax"] == {"p50_ms": 20.0, "p99_ms": 40.0, "images_per_s": 50.0}
    assert found["over_pytorch"] == 2.0  # of 2, 1 and 4
    assert found["over_onnxruntime"] == 0.5  # of 1/2, 1/4 and 1
    assert len(found["turns"]) == 3


def test_our_side_answers_each_number_of_pictures():
    answer = latency._ours("lenet5", 32, 8)
    assert [each["batch_size"] for each in answer["batches"]] == [1, 8]
    assert all(each["p50_ms"] > 0 for each in answer["batches"])


def test_the_table_has_a_line_for_each_row_and_says_on_what_it_was_measured():
    about = {
        "device": "cpu", "cores": 2, "processor": "a processor", "date": "2026-01-02",
        "versions": {"bcjax": "0.1.0", "jax": "0.10.2"},
    }  # fmt: skip
    page = {
        "command": "python benchmarks/latency.py --turns=1",
        "about": about,
        "peers": {"onnxruntime": "1.31.1"},
        "turns": 1,
        "rows": [
            {"network": "resnet50", "image_size": 96, "batch_size": 1} | row((10.0, 20.0, 5.0))
        ],
    }
    lines = latency.table(json.loads(json.dumps(page))).splitlines()
    assert lines[2] == (
        "| resnet50 | 96 | 1 | 10.0 (20.0) | 20.0 (40.0) | 5.0 (10.0) | 2.00 | 0.50 |"
    )
    assert "a processor" in lines[-1]
    assert "onnxruntime 1.31.1" in lines[-1]
    assert page["command"] in lines[-1]


def test_a_network_that_no_peer_has_is_refused(monkeypatch, capsys):
    words = ["latency.py", "--peers=python", "--out=there.json", "--networks=elu_cnn"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        latency.main()
    assert "unknown: elu_cnn" in capsys.readouterr().err
