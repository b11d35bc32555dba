"""Fine-tuning from the command line: phases, what is said of them, and what is refused."""

import contextlib
import json

import jax
import numpy as np
import pytest
from commandline import TINY, refused, run_bcjax
from places import SUPPORT
from processes import log, state, steps

from bcjax import config as configs
from bcjax.training.run import Run

# A first phase of the head, whose features are computed once, then the last third with it.
TWO = (
    "--config.augment.ops=()",
    "--config.optim.ema=0.5",
    "--config.finetune.first.length=4 steps",
    "--config.finetune.first.lr=0.25",
    "--config.finetune.first.schedule=linear",
    "--config.finetune.trainable=last 30%",
    "--config.finetune.layer_decay=0.5",
    "--config.checkpoint.keep=9",
    "--config.train.log_every=1 steps",
)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A finished run of two phases, and what it said."""
    workdir = tmp_path_factory.mktemp("runs") / "two"
    ran = run_bcjax("train", *TINY, *TWO, f"--workdir={workdir}")
    assert ran.status == 0, ran.err
    return workdir, ran


def rows(said):
    """The rows of the table of what trains, by stage."""
    lines = [line.split() for line in said.splitlines()]
    return {line[0]: line[1:] for line in lines if line and line[0][:5] in ("stage", "head")}


def test_a_table_says_what_trains_in_which_phase(two):
    table = rows(two[1].out)
    assert table["stage"] == ["parameters", "phase", "1", "lr", "x", "phase", "2", "lr", "x"]
    assert table["stage1"] == ["5,088", "0", "0"]
    assert table["stage5"] == ["885,312", "0", "885,312", "0.5"]
    assert table["head"] == ["51,464", "51,464", "1", "51,464", "1"]
    assert "4 steps of 8 pictures (4 steps), 1 per call, adamw, on features computed" in two[1].out
    assert "Phase 2 of 2 begins at step 4." in two[1].out


def test_the_steps_go_on_and_each_phase_has_its_rate(two):
    lines = log(two[0])
    assert [line["step"] for line in lines if "train/lr" in line] == list(range(1, 11))
    rates = [line["train/lr"] for line in lines if "train/lr" in line]
    np.testing.assert_allclose(rates[:4], [0.25, 0.1875, 0.125, 0.0625], rtol=1e-6)
    assert set(rates[4:]) == {rates[4]} != {0.0625}
    # Every third step of the run, and the last of each phase.
    assert [line["step"] for line in lines if "val/accuracy" in line] == [3, 4, 6, 9, 10]


def test_checkpoints_of_both_phases_are_in_one_stream(two):
    workdir, _ = two
    assert {2, 4, 6, 8, 10} <= set(steps(workdir))
    last = state(workdir)
    assert (last["step"], last["phase"], last["began"]) == (10, 1, 4)
    moments = {name for name in last if "/mu/" in name}
    assert moments
    assert {name.split("/mu/")[1].split("/")[0] for name in moments} == {"stage5", "head"}


def test_each_checkpoint_is_evaluated_whatever_its_phase(two):
    for step in (2, 8):
        ran = run_bcjax("evaluate", f"--workdir={two[0]}", f"--checkpoint={step}", "--split=val")
        assert ran.status == 0, ran.err
        measured = json.loads((two[0] / "eval" / "val.json").read_text())
        assert measured["checkpoint"] == step


def test_a_run_goes_back_to_its_best_be_it_of_an_earlier_phase(two):
    config = configs.load(two[0])
    config.workdir = str(two[0])
    with contextlib.closing(Run(config)) as run:
        last, resumed = run.restore_or_start()
        phase = run.phase_of(last)
        assert (resumed, phase.position, int(last.step), run.end_of(phase)) == (True, 1, 10, 10)
        state = run.restore(2)
        phase = run.phase_of(state)
        assert (phase.position, int(state.step), phase.plan.end) == (0, 2, 4)
        assert run.end_of(phase) == 10
        assert len(jax.tree.leaves(state.opt_state)) < len(jax.tree.leaves(last.opt_state))
        # On features or pictures, a checkpoint measures the same.
        again = run.predict("val", phase, state).measure(resamples=0).to_dict()
        ran = run_bcjax("evaluate", f"--workdir={two[0]}", "--checkpoint=2", "--split=val")
        assert ran.status == 0, ran.err
        measured = json.loads((two[0] / "eval" / "val.json").read_text())
        here, there = (result["metrics"]["log_loss"]["value"] for result in (again, measured))
        assert here == pytest.approx(there, rel=1e-5)


def test_a_phase_that_gains_nothing_ends_before_its_length(tmp_path):
    flags = (
        f"--config={SUPPORT / 'quick_config.py'}",
        *TWO,
        "--config.eval.report=false",
        "--config.finetune.first.length=20 steps",
        "--config.finetune.first.patience=1",
        "--config.eval.every=2 steps",
        "--config.train.min_delta=2.0",
    )
    ran = run_bcjax("train", *flags, f"--workdir={tmp_path / 'run'}")
    assert ran.status == 0, ran.err
    assert "Phase 2 of 2 begins at step 4, for 1 evaluation in a row brought no gain" in ran.out
    last = state(tmp_path / "run")
    assert (last["step"], last["began"]) == (10, 4)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["trainable=stage9"], ["'stage9'", "matches no parameter", "stage1, stage2", "head"]),
        (["trainable=last 0%"], ["'last 0%'", "more than 0 %"]),
        (["trainable=(stage1"], ["'(stage1'", "regular expression"]),
        (["layer_decay=0.0"], ["config.finetune.layer_decay is 0.0", "at most 1"]),
        (["first.length=2 steps", "first.trainable=tail"], ["'tail'", "head"]),
        (["first.length=2 steps", "first.warmup=2 steps"], ["warm-up of 2", "run of 2 steps"]),
        (["first.schedule=cosin"], ["config.finetune.first.schedule", "cosine"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_mend(train, flags, named):
    refused(train(*(f"--config.finetune.{flag}" for flag in flags)), *named)
