"""What a person reads while a run trains."""

import io
import re

import pytest
from commandline import run_bcjax
from places import SUPPORT
from processes import log
from rich.console import Console

from bcjax import config as configs
from bcjax.engine.checkpoint import Checkpoints
from bcjax.training.progress import ProgressLine

QUICK = (
    f"--config={SUPPORT / 'quick_config.py'}",
    "--config.eval.report=False",
    "--config.checkpoint.every=3 steps",
    "--config.checkpoint.keep=9",
)
EVALUATION = re.compile(
    r"^(?:member (?P<member>\d)  )?step (?P<step>\d+)  val  accuracy (?P<accuracy>[\d.]+)%  "
    r"macro F1 (?P<f1>[\d.]+)  (?P<verdict>.+)$",
    re.MULTILINE,
)
METRICS = {"loss": 1.0, "accuracy": 0.5, "images_per_s": 0.0}


def printed(steps, *rates, total=10):
    """What a line that is no terminal's says at these steps."""
    text = io.StringIO()
    line = ProgressLine(Console(file=text, width=200), total, start=0, seconds=0.0)
    line.restart_clock(1)
    for step, rate in zip(steps, rates, strict=True):
        line.show(step, 0.1 * step, METRICS | {"images_per_s": rate})
    line.close()
    return text.getvalue().splitlines()


def test_until_there_is_a_rate_it_says_compiling():
    first, second = printed((1, 2), 0.0, 120.0)
    assert first.endswith("accuracy 50.0%  compiling")
    assert re.search(r"120 images/s  \d+:\d\d left$", second)


def test_at_the_end_no_time_is_left_and_a_run_of_one_step_has_no_rate():
    assert printed((10,), 120.0)[0].endswith("120 images/s")
    assert printed((1,), 0.0, total=1)[0].endswith("accuracy 50.0%")


def test_where_everything_trains_a_line_says_so_instead_of_a_table(trained):
    assert "trains      all of them" in trained.ran.out
    assert not re.search(r"^ *(stage|head)", trained.ran.out, re.MULTILINE)


def test_each_evaluation_is_a_line_that_says_whether_it_is_the_best(tmp_path):
    ran = run_bcjax("train", *QUICK, f"--workdir={tmp_path}")
    assert ran.status == 0, ran.err
    assert "0 images/s" not in re.sub(r"[\d,]+0 images/s", "", ran.out)
    lines = list(EVALUATION.finditer(ran.out))
    logged = {line["step"]: line for line in log(tmp_path) if "val/accuracy" in line}
    assert [int(line["step"]) for line in lines] == sorted(logged) == [2, 4, 6]
    best, score = 0, -1.0
    for line in lines:
        step = int(line["step"])
        assert float(line["accuracy"]) == pytest.approx(100 * logged[step]["val/accuracy"], abs=0.1)
        assert float(line["f1"]) == pytest.approx(logged[step]["val/macro_f1"], abs=1e-3)
        if logged[step]["val/accuracy"] > score:
            best, score = step, logged[step]["val/accuracy"]
            assert line["verdict"] == f"best so far, checkpoint {step} kept"
        elif line["verdict"] != f"best so far, checkpoint {step} kept":  # as good, and saved
            assert line["verdict"] == f"the best is that of step {best}"
        else:
            best = step
    config = configs.load(tmp_path)
    kept = Checkpoints(tmp_path, keep=9, metric=config.checkpoint.best, read_only=True)
    assert kept.best() == best


def test_a_run_that_goes_on_knows_its_best(tmp_path):
    """Nothing gains 2 in accuracy, and what is not saved cannot be the best."""
    run_bcjax("train", *QUICK, f"--workdir={tmp_path}", "--config.optim.lr=0.0")
    longer = ("--config.optim.lr=0.0", "--config.train.length=8 steps", "--extend")
    ran = run_bcjax("train", *QUICK, f"--workdir={tmp_path}", *longer)
    (line,) = EVALUATION.finditer(ran.out)
    assert line["verdict"] == "best so far, checkpoint 8 kept"  # as good as before, and later


def test_a_watched_metric_that_is_neither_is_named(tmp_path):
    ran = run_bcjax("train", *QUICK, f"--workdir={tmp_path}", "--config.checkpoint.best=log_loss")
    assert re.search(r"macro F1 [\d.]+  log loss [\d.]+  best so far", ran.out)


def test_members_have_a_line_each(tmp_path):
    ran = run_bcjax("train", *QUICK, f"--workdir={tmp_path}", "--config.train.members=2")
    lines = [(line["member"], line["step"]) for line in EVALUATION.finditer(ran.out)]
    assert lines == [(member, step) for step in "246" for member in "01"]
