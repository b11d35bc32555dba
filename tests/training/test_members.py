"""Runs that train together are what each would have been alone."""

import json
import re
from pathlib import Path

import numpy as np
import processes
import pytest
from commandline import refused, run_bcjax
from places import SUPPORT

from bcjax.data.prepared import PreparedSet
from bcjax.evaluation import answers
from bcjax.training import members

NORM = (
    f"--config={SUPPORT / 'norm_config.py'}",
    "--config.train.length=6 steps",
    "--config.train.log_every=1 steps",
    "--config.eval.every=3 steps",
    "--config.checkpoint.every=3 steps",
)


def train(workdir: Path, *flags: str) -> str:
    ran = run_bcjax("train", *NORM, f"--workdir={workdir}", *flags)
    assert ran.status == 0, ran.err
    return ran.out


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def members_of(workdir: Path) -> list[Path]:
    return sorted(path for path in workdir.iterdir() if path.name.startswith("member-"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> list[Path]:
    """Two runs of two seeds, one after the other."""
    folder = tmp_path_factory.mktemp("alone")
    for seed in (5, 6):
        train(folder / str(seed), f"--config.seed={seed}")
    return [folder / "5", folder / "6"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("pair")
    train(workdir, "--config.seed=5", "--config.train.members=2")
    return workdir


def test_on_a_cpu_each_member_is_the_run_alone_bit_for_bit(pair, alone):
    for member, own in zip(members_of(pair), alone, strict=True):
        processes.assert_same_state(member, own)
        assert processes.log(member) == processes.log(own)
        assert processes.evaluation(member) == processes.evaluation(own)


def test_under_vmap_each_member_is_the_run_alone(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(members, "choose", members.AtOnce)
    train(tmp_path, "--config.seed=5", "--config.train.members=2")
    for member, own in zip(members_of(tmp_path), alone, strict=True):
        np.testing.assert_allclose(processes.losses(member), processes.losses(own), rtol=1e-5)
        assert processes.steps(member) == processes.steps(own)


@pytest.mark.parametrize("way", [members.InTurn, members.AtOnce])
def test_another_rate_is_the_run_alone_at_that_rate(way, tmp_path, monkeypatch):
    monkeypatch.setattr(members, "choose", way)
    train(
        tmp_path / "all", "--config.train.members=2", "--config.train.vary=lr",
        "--config.train.lrs=(1e-2,3e-3)",
    )  # fmt: skip
    train(tmp_path / "alone", "--config.optim.lr=3e-3")
    member = tmp_path / "all" / "member-1"
    np.testing.assert_allclose(
        processes.losses(member), processes.losses(tmp_path / "alone"), rtol=1e-5
    )
    rates = [line["train/lr"] for line in processes.log(member) if "train/lr" in line]
    assert rates == pytest.approx(
        [line["train/lr"] for line in processes.log(tmp_path / "alone") if "train/lr" in line]
    )


def test_folds_are_held_out_in_turn_and_each_picture_once(tmp_path):
    train(tmp_path / "all", "--config.train.members=3", "--config.train.vary=fold")
    held_out: list[str] = []
    for member in members_of(tmp_path / "all"):
        prepared = PreparedSet(Path(json.loads((member / "pictures.json").read_text())["path"]))
        assert not set(prepared.ids("val")) & set(prepared.ids("train"))
        held_out += prepared.ids("val")
        rest = set(prepared.ids("train")) | set(prepared.ids("val"))
    assert len(held_out) == len(set(held_out))
    assert set(held_out) == rest
    ran = run_bcjax("evaluate", f"--workdir={tmp_path / 'all'}", "--split=val")
    assert "3 members (each its own fold)" in ran.out
    pooled = answers.read(tmp_path / "all" / "eval" / "val.parquet")
    assert sorted(pooled.ids) == sorted(held_out)
    train(tmp_path / "alone", "--config.data.folds=3", "--config.data.fold=1")
    processes.assert_same_state(tmp_path / "all" / "member-1", tmp_path / "alone")


def test_evaluate_says_how_far_members_lie_apart_and_what_they_answer_together(pair):
    trained = read_json(pair / "eval" / "test.json")
    ran = run_bcjax("evaluate", f"--workdir={pair}")
    assert ran.status == 0, ran.err
    assert "2 members (the mean of their probabilities)" in ran.out
    result = read_json(pair / "eval" / "test.json")
    assert result == trained
    own = [read_json(folder / "eval" / "test.json") for folder in members_of(pair)]
    losses = [each["metrics"]["log_loss"]["value"] for each in own]
    spread = result["members"]["metrics"]["log_loss"]
    assert spread["mean"] == pytest.approx(np.mean(losses))
    assert spread["deviation"] == pytest.approx(abs(losses[0] - losses[1]) / np.sqrt(2))
    assert 0 <= spread["low"] < spread["mean"] < spread["high"]
    assert "t over runs and pictures" in spread["interval"]
    accuracy = result["members"]["metrics"]["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["high"] <= 1
    both = [answers.read(folder / "eval" / "test.parquet") for folder in members_of(pair)]
    whole = answers.read(pair / "eval" / "test.parquet")
    expected = np.mean([each.probabilities() for each in both], axis=0)
    np.testing.assert_allclose(whole.probabilities(), expected, atol=1e-6)


def test_one_that_diverges_stops_alone(tmp_path):
    said = train(
        tmp_path, "--config.train.members=2", "--config.train.vary=lr", "--config.optim.name=sgd",
        "--config.train.lrs=1e-9,1000", "--config.optim.weight_decay=1000",
        "--config.model.std=1e-6,1e-6,1e-6",
    )  # fmt: skip
    assert re.search(r"^member 1: Ended at step \d: The .*not finite", said, re.MULTILINE)
    assert processes.steps(tmp_path / "member-0")[-1] == 6
    assert not (tmp_path / "member-1" / "eval").exists()


def test_one_without_patience_stops_alone(tmp_path, monkeypatch):
    flags = ("--config.train.patience=1", "--config.train.length=30 steps")
    train(tmp_path / "all", *flags, "--config.train.members=2")
    for seed in (0, 1):
        train(tmp_path / str(seed), *flags, f"--config.seed={seed}")
        processes.assert_same_state(tmp_path / "all" / f"member-{seed}", tmp_path / str(seed))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--config.train.vary=lr", "--config.train.lrs=(1e-3,)"), "give 2 learning rates"),
        (("--config.train.vary=fold", "--config.data.folds=5"), "data.folds is 5"),
        (("--config.finetune.first.patience=3",), "finetune.first.patience=0"),
    ],
)
def test_what_cannot_be_trained_together_is_refused(flags, named, tmp_path):
    workdir = tmp_path / "run"
    ran = run_bcjax("train", *NORM, "--config.train.members=2", f"--workdir={workdir}", *flags)
    refused(ran, named)
    assert not (workdir / "config.json").exists()
