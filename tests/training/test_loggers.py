import importlib.util
import io
import json
import time
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from commandline import TINY, refused
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bcjax import config as configs
from bcjax.runtime.run_dir import RunDir
from bcjax.training import loggers
from bcjax.training.loggers.evaluations import confusion
from bcjax.training.progress import ProgressLine


def steps_written(workdir):
    return [line["step"] for line in loggers.read(RunDir(workdir).metrics)]


def write(writer, *steps):
    for step in steps:
        writer.scalars(step, {"train/loss": step / 4, "train/accuracy": np.float64(0.5)})


def test_each_line_is_on_disk_when_it_is_written(tmp_path):
    writer = loggers.JsonLines(tmp_path, step=0)
    write(writer, 10)
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {
        "step": 10, "train/loss": 2.5, "train/accuracy": 0.5,
    }  # fmt: skip
    writer.close()


@pytest.mark.parametrize(
    ("step", "kept"), [(0, []), (10, [10]), (15, [10]), (20, [10, 20, 20]), (99, [10, 20, 20, 30])]
)
def test_a_resumed_run_drops_the_lines_after_its_step(tmp_path, step, kept):
    writer = loggers.JsonLines(tmp_path, step=0)
    write(writer, 10, 20, 20, 30)
    writer.close()
    writer = loggers.JsonLines(tmp_path, step=step)
    write(writer, 100)
    writer.close()
    assert steps_written(tmp_path) == [*kept, 100]


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path, cut):
    writer = loggers.JsonLines(tmp_path, step=0)
    write(writer, 10, 20)
    writer.close()
    path = RunDir(tmp_path).metrics
    path.write_bytes(path.read_bytes()[:-1][:-cut])
    assert steps_written(tmp_path) == [10]
    writer = loggers.JsonLines(tmp_path, step=20)
    write(writer, 30)
    writer.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [10, 30]


def test_no_file_has_no_lines(tmp_path):
    assert loggers.read(RunDir(tmp_path).metrics) == []


def scalars(workdir, name):
    events = EventAccumulator(str(workdir / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_tensorboard_reads_the_events(tmp_path):
    writer = loggers.TensorBoard(tmp_path, step=0)
    write(writer, 1, 2)
    writer.close()
    assert scalars(tmp_path, "train/loss") == [(1, 0.25), (2, 0.5)]
    assert scalars(tmp_path, "train/accuracy") == [(1, 0.5), (2, 0.5)]


def test_tensorboard_does_not_show_what_was_written_after_the_last_checkpoint(tmp_path):
    writer = loggers.TensorBoard(tmp_path, step=0)
    write(writer, 1, 2, 3, 4)
    writer.close()
    writer = loggers.TensorBoard(tmp_path, step=2)
    writer.scalars(3, {"train/loss": 9.0})
    writer.close()
    assert scalars(tmp_path, "train/loss") == [(1, 0.25), (2, 0.5), (3, 9.0)]


def test_tensorboard_shows_pictures_and_histograms(tmp_path):
    writer = loggers.TensorBoard(tmp_path, step=0)
    picture = np.full((4, 6, 3), 200, np.uint8)
    values = np.array([-1.0, 0.0, 0.0, 3.0], np.float32)
    writer.image(2, "val/confusion", picture)
    writer.histogram(2, "parameters/head", values)
    writer.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (shown,) = events.Images("val/confusion")
    assert (shown.step, shown.width, shown.height) == (2, 6, 4)
    (spread,) = events.Histograms("parameters/head")
    counted = spread.histogram_value
    assert (counted.num, counted.min, counted.max, counted.sum) == (4, -1, 3, 2)
    assert counted.sum_squares == 10
    assert sum(counted.bucket) == 4


class Told(loggers.Logger):
    """Keeps what it is told."""

    def __init__(self):
        self.shown, self.spreads = {}, {}

    def image(self, step, name, picture):
        self.shown[name] = picture

    def histogram(self, step, name, values):
        self.spreads[name] = values


def test_an_evaluation_shows_its_confusion_and_the_parameters():
    told = Told()
    params = {"head": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}}
    result = SimpleNamespace(confusion_matrix=((5, 1), (0, 4)), classes=("monocyte", "platelet"))
    output = loggers.BackgroundLogger([told])
    loggers.evaluated([output], 3, "val", result, params)
    output.close()
    assert set(told.spreads) == {"parameters/head/kernel", "parameters/head/bias"}
    np.testing.assert_array_equal(told.spreads["parameters/head/kernel"], np.ones((2, 3)))
    picture = told.shown["val/confusion"]
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10  # cells, letters, their edges


@pytest.mark.parametrize("classes", [2, 20, 21])
def test_a_confusion_matrix_of_any_size_is_drawn(classes):
    matrix = np.eye(classes, dtype=int) * 7
    picture = confusion(matrix, [f"class {i}" for i in range(classes)])
    side = picture.shape[0]
    assert picture.shape == (side, side, 3)
    assert side <= 1200


def test_every_writer_is_given_a_run(tmp_path):
    config = configs.default()
    config.workdir = str(tmp_path)
    for writer in loggers.open_loggers(config, 0):
        write(writer, 4)
        writer.close()
    assert steps_written(tmp_path) == [4]
    assert scalars(tmp_path, "train/loss") == [(4, 1.0)]
    assert loggers.read(RunDir(tmp_path).sessions)[0]["last_step"] == 4


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_written(
    bcjax, tmp_path, monkeypatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    flags = ("--config.track.to=('wandb',)", f"--workdir={tmp_path / 'run'}")
    refused(bcjax("train", *TINY, *flags), "wandb", "pip install 'bcjax[track]'")
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_is_not_known_is_refused(bcjax, tmp_path):
    flags = ("--config.track.to=('comet',)", f"--workdir={tmp_path / 'run'}")
    refused(bcjax("train", *TINY, *flags), "comet", "mlflow, wandb")


VALUES = {"loss": 0.25, "accuracy": 0.875, "images_per_s": 1234.4}


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when it is told to."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def plain(**options):
    out = io.StringIO()
    return out, ProgressLine(Console(file=out, width=200), start=1000, **options)


def test_the_line_says_how_far_the_run_is_and_how_long_it_will_take(clock):
    out, line = plain(total=3000, seconds=0)
    clock[0] += 60
    line.show(1500, 1.5, VALUES)
    line.close()
    assert out.getvalue() == (
        "epoch 1.5  step 1,500/3,000  loss 0.2500  accuracy 87.5%  1,234 images/s  3:00 left\n"
    )


def test_the_time_left_leaves_out_the_compilation(clock):
    out, line = plain(total=10000, seconds=0)
    clock[0] += 500
    line.restart_clock(1001)
    clock[0] += 1
    line.show(1002, 1.0, VALUES)
    assert out.getvalue().endswith("2:29:58 left\n")


def test_plain_lines_come_no_more_often_than_asked_and_at_the_end(clock):
    out, line = plain(total=1040, seconds=10)
    for step in range(1001, 1041):
        clock[0] += 0.75
        line.show(step, 1.0, VALUES)
    shown = [text.split("step ")[1].split("/")[0] for text in out.getvalue().splitlines()]
    assert shown == ["1,014", "1,028", "1,040"]


def test_a_terminal_has_one_live_line():
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=True, color_system=None)
    line = ProgressLine(console, total=3000, start=1000)
    line.show(1500, 1.5, VALUES)
    line.show(3000, 3.0, VALUES)
    line.close()
    text = out.getvalue()
    assert "compiling ..." in text
    assert "step 3,000/3,000  loss 0.2500" in text
    assert text.count("\n") == 1  # each picture of the line overwrites the one before


def test_what_is_told_in_the_background_is_told_in_order_and_all_of_it(tmp_path):
    told = []

    class Slow(loggers.Logger):
        def scalars(self, step, values):
            time.sleep(0.001)
            told.append(step)

    output = loggers.BackgroundLogger([Slow(), loggers.TensorBoard(tmp_path, step=0)])
    write(output, *range(1, 100))
    output.close()
    assert told == list(range(1, 100))
    assert [step for step, _ in scalars(tmp_path, "train/loss")] == told


def test_what_fails_in_the_background_is_raised_at_the_end_and_all_is_closed():
    closed = []

    class Broken(loggers.Logger):
        def scalars(self, step, values):
            raise OSError("no space left")

        def close(self):
            closed.append(self)

    output = loggers.BackgroundLogger([Broken()])
    output.scalars(1, {})
    with pytest.raises(OSError, match="no space left"):
        output.close()
    assert closed
