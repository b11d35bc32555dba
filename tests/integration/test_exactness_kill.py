"""A run that is killed or told to stop, and started again, ends as one that nobody touched."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import (
    assert_same_state,
    evaluation,
    finish,
    half_written,
    log,
    logged_step,
    start,
    state,
    steps,
    train,
    wait_until,
)

STEPS = 60
# Everything that a state can hold: batch statistics, averages, moments, patience; dropout and
# augmentation draw random numbers. 56 training pictures: an epoch ends every 7 steps, a checkpoint
# is due every 5, so nearly all of them lie within an epoch.
FLAGS = (
    "--config=tests/support/norm_config.py",
    "--config.model.dropout=0.1",
    "--config.optim.ema=0.9",
    f"--config.train.length={STEPS} steps",
    "--config.train.log_every=3 steps",
    "--config.checkpoint.every=5 steps",
    "--config.eval.every=10 steps",
    "--config.eval.report=false",
)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of the run that nobody killed."""
    workdir = tmp_path_factory.mktemp("untouched")
    train(workdir, *FLAGS)
    assert steps(workdir)[-1] == STEPS
    assert {name.split("/")[0] for name in state(workdir)} == {
        "step", "phase", "began", "params", "batch_stats", "opt_state", "ema", "patience"
    }  # fmt: skip
    return workdir


def kill(workdir: Path, moment: Callable[[], object], pause: float = 0.0) -> None:
    """Starts the run, waits for the moment and kills it."""
    process = start(workdir, *FLAGS)
    wait_until(process, moment)
    time.sleep(pause)
    process.kill()
    finish(process, -signal.SIGKILL)


def assert_same_end(workdir: Path, untouched: Path) -> None:
    assert_same_state(workdir, untouched)
    assert evaluation(workdir) == evaluation(untouched)


def test_killed_again_and_again_at_random_moments(untouched: Path, tmp_path: Path):
    chance = random.Random(2)
    # Before the first checkpoint; in the middle; in the last third.
    for earliest, latest in ((1, 4), (12, 24), (32, 44)):
        step = chance.randint(earliest, latest)
        kill(tmp_path, lambda step=step: logged_step(tmp_path) >= step, chance.uniform(0, 0.03))
        assert steps(tmp_path)[-1:] < [STEPS]
    train(tmp_path, *FLAGS)
    assert_same_end(tmp_path, untouched)
    assert log(tmp_path) == log(untouched)


def test_killed_in_the_middle_of_a_save(untouched: Path, tmp_path: Path):
    process = start(tmp_path, *FLAGS)

    def caught_saving() -> bool:
        if not (steps(tmp_path) and half_written(tmp_path)):
            return False
        process.send_signal(signal.SIGSTOP)  # frozen, so that the save cannot end before the kill
        if half_written(tmp_path):
            return True
        process.send_signal(signal.SIGCONT)
        return False

    wait_until(process, caught_saving)
    process.kill()
    finish(process, -signal.SIGKILL)
    assert half_written(tmp_path)
    train(tmp_path, *FLAGS)
    assert not half_written(tmp_path)
    assert_same_end(tmp_path, untouched)
    assert log(tmp_path) == log(untouched)


def test_killed_between_the_last_checkpoint_and_the_final_evaluation(
    untouched: Path, tmp_path: Path
):
    kill(tmp_path, lambda: STEPS in steps(tmp_path))
    assert not (tmp_path / "eval").exists()
    assert f"Step {STEPS} is already the end of this run." in train(tmp_path, *FLAGS)
    assert_same_end(tmp_path, untouched)
    assert log(tmp_path) == log(untouched)


@pytest.mark.parametrize(
    ("asked", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_asked_to_stop_it_saves_says_so_and_goes_on(
    asked: signal.Signals, status: int, untouched: Path, tmp_path: Path
):
    process = start(tmp_path, *FLAGS)
    wait_until(process, lambda: logged_step(tmp_path) >= 12)
    process.send_signal(asked)
    said = finish(process, status)
    saved = steps(tmp_path)[-1]
    assert f"Stopped by signal {int(asked)}: step {saved} is saved in {tmp_path}." in said
    assert 12 <= saved < STEPS
    assert not half_written(tmp_path)

    assert f"resumed at step {saved}" in train(tmp_path, *FLAGS)
    assert_same_end(tmp_path, untouched)
    # The means are cut where the run was; the evaluations are not.
    evaluations = [
        [line for line in log(w) if "val/accuracy" in line] for w in (tmp_path, untouched)
    ]
    assert evaluations[0] == evaluations[1]
    assert len(evaluations[0]) == STEPS // 10


def test_killed_it_stops_early_where_the_unbroken_run_does(tmp_path: Path):
    # No gain is enough: the first evaluation stays the best, the rate drops at each second one
    # that follows, and the fifth is the end.
    flags = (
        *FLAGS,
        "--config.eval.every=2 steps",
        "--config.train.min_delta=2.0",
        "--config.train.patience=5",
        "--config.optim.plateau.patience=2",
    )
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    train(unbroken, *flags)
    process = start(killed, *flags)
    wait_until(process, lambda: logged_step(killed) >= 6)
    process.kill()
    finish(process, -signal.SIGKILL)
    train(killed, *flags)

    end = state(unbroken)
    assert end["step"] == 12
    assert end["patience/lr_scale"] == pytest.approx(0.2**2)
    assert_same_end(killed, unbroken)
    assert log(killed) == log(unbroken)


def test_members_that_were_parted_by_a_kill_go_on_together(tmp_path):
    flags = (
        "--config=tests/support/norm_config.py",
        "--config.seed=5",
        "--config.train.members=2",
        "--config.train.length=15 steps",
        "--config.train.log_every=1 steps",
        "--config.eval.every=3 steps",
        "--config.checkpoint.every=3 steps",
    )
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    ahead = killed / "member-0"
    process = start(killed, *flags)
    wait_until(process, lambda: ahead.exists() and len(steps(ahead)) >= 1)
    process.kill()
    finish(process, -signal.SIGKILL)
    train(killed, *flags)
    train(whole, *flags)
    for name in ("member-0", "member-1"):
        assert_same_state(killed / name, whole / name)
