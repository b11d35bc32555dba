"""A run of phases that is killed in each of them, and between them, ends as one that was not."""

import signal
from pathlib import Path

import pytest
from processes import (
    ROOT,
    assert_same_state,
    evaluation,
    finish,
    log,
    logged_step,
    start,
    state,
    steps,
    train,
    wait_until,
)

CONFIG = "--config=tests/support/phases_config.py"
FOUND = {"PYTHONPATH": str(ROOT / "tests" / "support")}  # what the config imports


@pytest.mark.parametrize(
    ("flags", "boundary"),
    [
        ((), 60),
        # No gain is enough: the first evaluation of a phase stays its best.
        (("--config.finetune.first.patience=2", "--config.train.min_delta=9.0"), 30),
    ],
    ids=["by its length", "by its patience"],
)
def test_killed_in_each_phase_and_where_one_ends(
    flags: tuple[str, ...], boundary: int, tmp_path: Path
):
    untouched, killed = tmp_path / "untouched", tmp_path / "killed"
    train(untouched, CONFIG, *flags, **FOUND)
    end = state(untouched)
    assert (end["step"], end["phase"], end["began"]) == (boundary + 40, 1, boundary)

    for moment, last in (
        (lambda: logged_step(killed) >= 8, boundary - 1),
        (lambda: boundary in steps(killed), boundary),
        (lambda: logged_step(killed) >= boundary + 8, boundary + 39),
    ):
        process = start(killed, CONFIG, *flags, **FOUND)
        wait_until(process, moment)
        process.kill()
        finish(process, -signal.SIGKILL)
        assert steps(killed)[-1:] <= [last]
    train(killed, CONFIG, *flags, **FOUND)
    assert_same_state(killed, untouched)
    assert evaluation(killed) == evaluation(untouched)
    assert log(killed) == log(untouched)
