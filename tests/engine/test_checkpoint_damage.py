"""Whatever happens to the newest checkpoint, a run goes on with the numbers of a whole one."""

import logging
import shutil

import jax
import numpy as np
import pytest
from commandline import contents
from saved_states import ABSTRACT, make_state, page, save
from tiny import same_bits

import bcjax
from bcjax import engine
from bcjax.engine import checkpoint
from bcjax.engine.checkpoint import Checkpoints
from bcjax.runtime.errors import UserError

# Orbax reads all arrays at once; those that it gives up after a failure complain when collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def opened():
    """Opens the checkpoints of a workdir; closes them afterwards."""
    managers = []

    def open_one(workdir):
        managers.append(Checkpoints(workdir, keep=2, metric="accuracy"))
        return managers[-1]

    yield open_one
    for manager in managers:
        manager.close()


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """A workdir with the checkpoints 1 and 2."""
    workdir = tmp_path_factory.mktemp("two")
    checkpoints = Checkpoints(workdir, keep=2, metric="accuracy")
    save(checkpoints, 1, 2, accuracy=0.5)
    checkpoints.close()
    return workdir


@pytest.fixture
def damaged_copy(two_steps, tmp_path):
    return shutil.copytree(two_steps, tmp_path / "run")


def files(workdir):
    newest = workdir / "checkpoints" / "2"
    return sorted(path for path in newest.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", [truncate, empty, flip_a_bit, lambda path: path.unlink()])
def test_whatever_is_damaged_the_numbers_are_those_of_a_checkpoint(two_steps, tmp_path, damage):
    states, fallen_back = {step: make_state(step) for step in (1, 2)}, 0
    for i in range(len(files(two_steps))):
        workdir = shutil.copytree(two_steps, tmp_path / str(i))
        path = files(workdir)[i]
        damage(path)
        checkpoints = Checkpoints(workdir, keep=2, metric="accuracy")
        state = checkpoints.restore_latest([ABSTRACT])
        checkpoints.close()
        assert same_bits(state, states[int(state.step)]), path
        aside = int(state.step) == 1
        assert (workdir / "damaged" / "2").exists() == aside, path
        fallen_back += aside
    assert fallen_back >= 4


def largest(path):
    return max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, lambda path: path.unlink()])
@pytest.mark.parametrize("part", ["state/ocdbt.process_0", "about"])
def test_a_damaged_checkpoint_is_moved_aside_with_a_warning(
    opened, damaged_copy, caplog, part, damage
):
    damage(largest(damaged_copy / "checkpoints" / "2" / part))
    checkpoints = opened(damaged_copy)
    with caplog.at_level(logging.WARNING, "bcjax"):
        state = checkpoints.restore_latest([ABSTRACT])
    assert same_bits(state, make_state(1))
    assert "Checkpoint 2 cannot be read" in caplog.text
    assert checkpoints.steps() == [1]
    assert (damaged_copy / "damaged" / "2" / "state").exists()
    save(checkpoints, 2, accuracy=0.5)  # the run comes by again
    assert same_bits(opened(damaged_copy).restore_latest([ABSTRACT]), make_state(2))


def test_a_changed_page_is_damage(opened, damaged_copy):
    page = damaged_copy / "checkpoints" / "2" / "about" / "metadata"
    text = page.read_text()
    page.write_text(text.replace('"classes": ["a", "b"]', '"classes": ["a", "c"]'))
    assert page.read_text() != text
    checkpoints = opened(damaged_copy)
    with pytest.raises(ValueError, match="does not match its checksum"):
        checkpoints.about(2)
    assert same_bits(checkpoints.restore_latest([ABSTRACT]), make_state(1))
    assert checkpoints.best() == 1


def test_a_checkpoint_can_be_damaged_twice(opened, damaged_copy):
    for _ in range(2):
        flip_a_bit(largest(damaged_copy / "checkpoints" / "2" / "state"))
        checkpoints = opened(damaged_copy)
        assert same_bits(checkpoints.restore_latest([ABSTRACT]), make_state(1))
        save(checkpoints, 2, accuracy=0.5)
        checkpoints.close()


def test_if_all_are_damaged_there_is_none(opened, damaged_copy):
    for step in "12":
        truncate(largest(damaged_copy / "checkpoints" / step / "state" / "ocdbt.process_0"))
    assert opened(damaged_copy).restore_latest([ABSTRACT]) is None


def under_64_bits(state):
    """The state as JAX_ENABLE_X64=1 made it before bcjax fixed that."""
    wide = jax.tree.map(lambda leaf: np.float64(leaf), state.opt_state[0]["mu"])
    return state.replace(opt_state=({**state.opt_state[0], "mu": wide},))


def of_another_network(state):
    return state.replace(
        params={"dense": {**state.params["dense"], "bias": np.zeros(5, np.float32)}}
    )


@pytest.mark.parametrize("digests", [True, False])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (under_64_bits, "opt_state/0/mu is float64 there and float32 here .*jax_enable_x64"),
        (lambda state: state.replace(ema={}), "ema/batch_stats is only in this run"),
        (of_another_network, r"params/dense/bias has the shape \(5,\) there and \(2,\) here"),
    ],
)
def test_a_checkpoint_of_other_settings_is_named_and_never_moved(
    opened, tmp_path, change, sentence, digests
):
    checkpoints = opened(tmp_path)
    checkpoints.save(change(make_state(2)), page())
    checkpoints.wait()
    folder = tmp_path / "checkpoints" / "2"
    if not digests:  # as version 0.1 wrote it
        (folder / "digests.json").unlink()
    before = contents(tmp_path)
    with pytest.raises(UserError, match=sentence):
        checkpoints.restore_latest([ABSTRACT])
    assert contents(tmp_path) == before


def test_without_digests_nobody_says_damaged(opened, damaged_copy):
    newest = damaged_copy / "checkpoints" / "2"
    truncate(largest(newest / "state" / "ocdbt.process_0"))
    (newest / "digests.json").unlink()
    before = contents(damaged_copy)
    with pytest.raises(UserError, match=f"no digests .* or move {newest} elsewhere"):
        opened(damaged_copy).restore_latest([ABSTRACT])
    assert contents(damaged_copy) == before


def test_a_network_of_a_damaged_checkpoint_is_not_loaded(own_run):
    path = largest(own_run / "checkpoints" / "6" / "state")
    flip_a_bit(path)
    with pytest.raises(UserError, match=f"6 cannot be read .*{path.name} is not as"):
        bcjax.load(own_run, 6)


def test_what_is_not_finite_is_neither_saved_nor_loaded(opened, tmp_path, own_run, monkeypatch):
    state = jax.tree.map(np.array, make_state(1))
    state.batch_stats["norm"]["mean"][3] = np.inf
    with pytest.raises(UserError, match="At step 1, batch_stats/norm/mean is not finite"):
        opened(tmp_path).save(state, page())
    assert opened(tmp_path).steps() == []
    network = bcjax.load(own_run)
    network.variables["params"]["head"]["logits"]["bias"] *= np.nan
    monkeypatch.setattr(checkpoint, "_check_before_saving", lambda state: None)
    engine.write_run(network.config, network.variables, network.classes, tmp_path / "diverged")
    with pytest.raises(UserError, match="diverged, for params/head/logits/bias is not finite"):
        bcjax.load(tmp_path / "diverged")
    checkpoints = opened(tmp_path)
    checkpoints.save(state, page())
    checkpoints.wait()
    with pytest.raises(UserError, match=r"diverged, for batch_stats/norm/mean .* move it"):
        checkpoints.restore_latest([ABSTRACT])
    assert checkpoints.steps() == [1]


@pytest.mark.parametrize("bit", range(32))
def test_the_checksum_sees_every_bit(bit):
    state = jax.tree.map(np.array, make_state(1))
    before = int(checkpoint._checksum(state))
    state.params["dense"]["kernel"].view(np.uint32)[17, 23] ^= np.uint32(1 << bit)
    assert int(checkpoint._checksum(state)) != before
