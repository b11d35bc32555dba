import errno
import importlib.metadata
import shutil

import jax
import pytest
from saved_states import ABSTRACT, make_state, page, save
from tiny import same_bits

from bcjax import config as configs
from bcjax.engine import checkpoint
from bcjax.engine.checkpoint import Checkpoints
from bcjax.runtime.errors import UserError


@pytest.fixture
def opened(tmp_path):
    """Opens the checkpoints of a workdir; closes them afterwards."""
    managers = []

    def open_one(workdir=tmp_path, *, keep=2, metric="accuracy", read_only=False):
        manager = Checkpoints(workdir, keep=keep, metric=metric, read_only=read_only)
        managers.append(manager)
        return manager

    yield open_one
    for manager in managers:
        manager.close()


def test_a_state_comes_back_bit_for_bit(opened):
    save(opened(), 3, 7)
    state = opened().restore_latest([ABSTRACT])
    assert same_bits(state, make_state(7))
    assert jax.tree.map(lambda leaf: leaf.sharding, state) == jax.tree.map(
        lambda leaf: leaf.sharding, ABSTRACT
    )
    assert same_bits(opened().restore(3, [ABSTRACT]), make_state(3))


def test_an_empty_workdir_has_none(opened):
    checkpoints = opened()
    assert checkpoints.steps() == []
    assert checkpoints.best() is None
    assert checkpoints.restore_latest([ABSTRACT]) is None


def test_the_state_may_be_donated_while_it_is_written(opened):
    state, checkpoints = make_state(5), opened()
    checkpoints.save(state, page())
    jax.jit(lambda tree: jax.tree.map(lambda a: a * 2 + 1, tree), donate_argnums=0)(state)
    checkpoints.wait()
    assert same_bits(checkpoints.restore(5, [ABSTRACT]), make_state(5))


def test_the_page_says_what_the_network_is(opened):
    config = configs.default()
    config.optim.lr = 0.125
    checkpoints = opened()
    checkpoints.save(make_state(4), checkpoint.about_page(config, ["x", "y"], {"accuracy": 0.75}))
    checkpoints.wait()
    about = opened(read_only=True).about(4)
    assert about["classes"] == ["x", "y"]
    assert about["evaluation"] == {"accuracy": 0.75}
    assert configs.from_dict(about["config"]) == config
    assert {"bcjax", "jax", "flax", "optax"} <= about["versions"].keys()
    for name, version in about["versions"].items():
        assert version == importlib.metadata.version(name)


@pytest.mark.parametrize(
    ("scores", "metric", "best", "kept"),
    [
        ((None, None, None, None), "accuracy", None, [3, 4]),
        ((0.9, 0.8, 0.7, 0.6), "accuracy", 1, [1, 3, 4]),
        ((0.6, 0.9, 0.7, None), "accuracy", 2, [2, 3, 4]),
        ((0.9, 0.9, 0.7, 0.6), "accuracy", 2, [2, 3, 4]),
        ((0.6, 0.7, 0.8, 0.9), "accuracy", 4, [3, 4]),
        ((0.1, 0.8, 0.7, 0.6), "log_loss", 1, [1, 3, 4]),
        ((0.9, 0.8, 0.7, 0.6), "macro_auc", None, [3, 4]),
    ],
    ids=["none evaluated", "first", "middle", "tie", "last", "less is better", "not measured"],
)
def test_the_latest_and_the_best_are_kept(opened, scores, metric, best, kept):
    measured = metric if metric != "macro_auc" else "accuracy"
    checkpoints = opened(metric=metric)
    for step, score in enumerate(scores, start=1):
        evaluation = {} if score is None else {measured: score}
        save(checkpoints, step, **evaluation)
    assert checkpoints.steps() == kept
    assert checkpoints.best() == best
    assert opened(metric=metric, read_only=True).best() == best


def test_the_best_is_kept_by_the_run_that_goes_on(opened):
    first = opened(keep=1)
    save(first, 1, accuracy=0.9)
    save(first, 2, accuracy=0.5)
    first.close()
    second = opened(keep=1)
    save(second, 3, 4, accuracy=0.6)
    assert second.steps() == [1, 4]
    save(second, 5, accuracy=0.95)
    assert second.steps() == [5]


def test_a_reader_sees_the_checkpoints_of_a_run_that_goes_on(opened):
    writer = opened()
    save(writer, 1, accuracy=0.5)
    reader = opened(read_only=True)
    assert reader.steps() == [1]
    save(writer, 2, accuracy=0.75)
    assert reader.steps() == [1, 2]
    assert reader.best() == 2


def test_parts_of_a_state_are_read_alone(opened):
    save(opened(), 6)
    state, reader = make_state(6), opened(read_only=True)
    for names in (["params"], ["params", "batch_stats"], ["ema"]):
        asked = {name: getattr(ABSTRACT, name) for name in names}
        read = reader.restore_variables(6, asked)
        assert same_bits(read, {name: getattr(state, name) for name in names})


def test_what_a_killed_save_left_is_no_checkpoint_and_is_cleaned_away(opened, tmp_path):
    save(opened(), 1, 2)
    folder = tmp_path / "checkpoints"
    left = folder / "5.orbax-checkpoint-tmp"
    shutil.copytree(folder / "2", left)
    assert opened(read_only=True).steps() == [1, 2]
    assert left.exists()  # it may be another process's save
    checkpoints = opened()
    save(checkpoints, 3)  # waits for the cleaning
    assert not left.exists()
    assert same_bits(checkpoints.restore_latest([ABSTRACT]), make_state(3))


FULL = OSError(errno.ENOSPC, "No space left on device")
WRAPPED = ValueError("INTERNAL: Error writing 'd/5f': No space left on device [source locations]")


@pytest.mark.parametrize("error", [FULL, WRAPPED])
@pytest.mark.parametrize("call", ["save", "wait_until_finished", "check_for_errors"])
def test_a_full_disk_is_the_users_to_mend(opened, monkeypatch, call, error):
    checkpoints = opened()
    save(checkpoints, 1)

    def fail(*arguments, **options):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints._manager, call, fail)
        with pytest.raises(UserError, match=r"The disk is full .*checkpoints.*: free some space"):
            save(checkpoints, 2)
    assert 1 in opened(read_only=True).steps()


@pytest.mark.parametrize("code", [errno.EACCES, errno.ESTALE, errno.EIO])
def test_a_checkpoint_on_a_disk_that_fails_is_not_taken_for_damaged(opened, monkeypatch, code):
    checkpoints = opened()
    save(checkpoints, 1)

    def fail(*arguments, **options):
        raise OSError(code, "fails", "/a/file")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints._manager, "restore", fail)
        with pytest.raises(UserError, match=r"checkpoints\): "):
            checkpoints.restore_latest([ABSTRACT])
    assert same_bits(checkpoints.restore_latest([ABSTRACT]), make_state(1))


def test_any_other_failure_to_save_is_a_defect(opened, monkeypatch):
    checkpoints = opened()

    def fail(*arguments, **options):
        raise ValueError("something else")

    monkeypatch.setattr(checkpoints._manager, "save", fail)
    with pytest.raises(ValueError, match="something else"):
        save(checkpoints, 1)
