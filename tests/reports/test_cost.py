"""What a run costs: counted, measured once, and shown alike in report, card and comparison."""

import dataclasses
import json
import os

import fabricated
import jax
import numpy as np
import pytest
from commandline import refused, run_bcjax

from bcjax import config as configs
from bcjax.engine import network
from bcjax.evaluation import answer_times
from bcjax.evaluation.inference_cost import InferenceCost
from bcjax.reports import cost
from bcjax.reports.comparison import compare
from bcjax.reports.comparison.page import costs_table
from bcjax.reports.run import write_report
from bcjax.reports.run_record import read_run
from bcjax.runtime import mesh as meshes
from bcjax.runtime.run_dir import RunDir


def fabricate(workdir, **measured):
    made = fabricated.run(workdir, fabricated.answers(np.arange(60) % 7 > 0))
    page = dataclasses.replace(fabricated.MEASURED, **measured).to_dict()
    RunDir(made).inference_cost.write_text(json.dumps(page))
    return made


def test_a_report_measures_answers_once_and_keeps_them(own_run):
    cost.measure(read_run(own_run))
    path = RunDir(own_run).inference_cost
    first = path.read_bytes()
    found = InferenceCost.read_file(path, "")
    assert 0 < found.p50_ms <= found.p99_ms
    assert found.calls >= 10
    assert found.images_per_s > 0
    assert f"{len(os.sched_getaffinity(0))} cores of" in found.hardware
    assert found.device_bytes is None  # a CPU measures none
    assert found.estimated_bytes > cost.cost(read_run(own_run)).file_bytes
    cost.measure(read_run(own_run))
    assert path.read_bytes() == first


def test_the_file_size_is_that_of_the_checkpoints_variables(own_run):
    variables = network.load(own_run, "best", meshes.create()).variables
    expected = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
    assert cost.cost(read_run(own_run)).file_bytes == expected


@pytest.mark.parametrize("name", ["report.md", "README.md"])
def test_report_and_card_have_one_table_of_costs(tmp_path, name):
    workdir = fabricate(tmp_path / "run")
    write_report(workdir)
    text = (workdir / name).read_text()
    spent = cost.cost(read_run(workdir))
    for cells in (
        ("parameters", f"{spent.parameters:,}"), ("latency p50", "1.25 ms"),
        ("latency p99", "12.5 ms"), ("images/s", "4,321"), ("peak memory", "-"),
        ("memory, estimated", "12.3 MB"), ("process", "456.0 MB"), ("training time", "30.0 s"),
    ):  # fmt: skip
        assert f"| {' | '.join(cells)} |" in text
    assert "median of 40 calls with one picture on Abacus 3000" in text


def test_a_comparison_says_on_which_machine_answers_were_measured(tmp_path):
    first = fabricate(tmp_path / "a")
    second = fabricate(tmp_path / "b", hardware="NVIDIA H200", device_bytes=2_000_000_000)
    third = fabricated.run(tmp_path / "c", fabricated.answers(np.arange(60) % 5 > 0))
    RunDir(third).inference_cost.unlink()
    compared = compare(first, second, third)
    table = costs_table(compared)
    shown = [dict(zip(table.head, row, strict=True)) for row in table.rows]
    assert [row["answers measured on"] for row in shown] == ["Abacus 3000", "NVIDIA H200", "-"]
    assert [row["peak memory"] for row in shown] == ["-", "2.0 GB", "-"]
    assert [row["latency p99"] for row in shown] == ["12.5 ms", "12.5 ms", "-"]
    assert list(compared.to_pandas()["inference_p50_ms"][:2]) == [1.25, 1.25]
    assert compared.to_dict()["runs"][0]["inference"]["calls"] == 40


def test_a_network_that_cannot_be_built_is_reported_all_the_same(tmp_path):
    workdir = fabricated.run(tmp_path / "run", fabricated.answers(np.arange(60) % 7 > 0))
    RunDir(workdir).inference_cost.unlink()
    config = configs.load(workdir)
    config.model.name = "of_a_module_that_is_gone"
    configs.save(config, workdir / "config.json")
    text = write_report(workdir).markdown.read_text()
    assert (
        "What the network costs is not known: There is no model 'of_a_module_that_is_gone'" in text
    )
    assert not RunDir(workdir).inference_cost.exists()


def test_a_damaged_measurement_is_named(tmp_path):
    workdir = fabricate(tmp_path / "run")
    path = RunDir(workdir).inference_cost
    path.write_text("{}")
    refused(run_bcjax("report", f"--workdir={workdir}"), path, "measures anew")


def test_calls_are_timed_until_there_are_enough_of_them():
    calls = []
    assert len(answer_times.time_calls(lambda: calls.append(1), least=3, most=5, seconds=0)) == 3
    assert len(calls) == 4  # the first one compiles
    assert len(answer_times.time_calls(lambda: None, least=1, most=5, seconds=9)) == 5
