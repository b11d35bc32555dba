import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bcjax.runtime import run_dir
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir, TrainedOn

# What the methods that name files take.
_GIVEN = {"name": "test", "step": 12, "position": 0}


def names(run):
    """Every path that a RunDir names, by the name of its attribute or method."""
    found = {}
    for name, member in vars(RunDir).items():
        if isinstance(member, run_dir._Inside):
            found[name] = getattr(run, name)
        elif inspect.isfunction(member) and not name.startswith("_"):
            taken = set(inspect.signature(member).parameters) & _GIVEN.keys()
            if taken:
                found[name] = getattr(run, name)(*(_GIVEN[parameter] for parameter in taken))
    return {name: path for name, path in found.items() if isinstance(path, Path)}


def test_every_name_is_in_the_folder_and_unique():
    run = RunDir("runs/a")
    found = names(run)
    assert len(found) > 20
    assert len(set(found.values())) == len(found)
    assert all(path.is_relative_to("runs/a") for path in found.values())


def test_the_layout_lists_every_name():
    for path in names(RunDir("")).values():
        shown = str(path).replace("12", "<step>").replace("member-0", "member-<i>")
        shown = shown.replace("eval/test-corruptions", "eval/<name>").replace("test", "<name>")
        assert f"`{shown}" in RunDir.__doc__, path


def test_a_finished_run_holds_only_what_is_listed(trained):
    run = RunDir(trained.workdir)
    assert run.exists()
    steps = [int(path.name) for path in run.checkpoints.iterdir()]
    known = {run.config, run.pictures, run.ancestry, run.metrics, run.sessions, run.path / ".lock"}
    known |= {of(split) for of in (run.evaluation, run.answers) for split in ("test", "val")}
    known |= {of(step) for of in (run.calibration, run.calibration_answers) for step in steps}
    written = {path for path in run.path.rglob("*") if path.is_file()}
    others = written - known
    strange = [
        path
        for path in others
        if not (path.is_relative_to(run.checkpoints) or path.is_relative_to(run.tensorboard))
    ]
    assert set(strange) <= {run.inference_cost}  # which a report keeps, if there was one
    assert run.evaluations() == [run.evaluation("test"), run.evaluation("val")]
    assert run.trained_on().digest
    assert Path(run.trained_on().path).exists()


def test_it_stands_for_its_path(tmp_path):
    assert Path(RunDir(tmp_path)) == tmp_path
    assert f"{RunDir(tmp_path)}" == str(tmp_path)
    assert RunDir(str(tmp_path)) == RunDir(tmp_path)


def test_an_empty_folder_is_no_run(tmp_path):
    run = RunDir(tmp_path)
    assert not run.exists()
    assert run.trained_on() is None
    assert run.evaluations() == run.members() == []
    assert not run.is_one_of_several


def test_members_are_those_that_began_in_order(tmp_path):
    run = RunDir(tmp_path)
    for i in (10, 2, 0):
        run.member(i).mkdir()
        RunDir(run.member(i)).config.touch()
    run.member(3).mkdir()  # not begun
    assert run.members() == [run.member(i) for i in (0, 2, 10)]
    assert run.is_one_of_several
    assert RunDir(run.member(2)).is_one_of_several


def test_what_it_was_trained_on_is_read(tmp_path):
    run = RunDir(tmp_path)
    run.pictures.write_text(json.dumps({"path": "data/a", "digest": "0f", "counts": {"val": [2]}}))
    assert run.trained_on() == TrainedOn("data/a", "0f", {"val": [2]})
    run.pictures.write_text(json.dumps({"digest": "0f", "pixels": "1e"}))
    assert run.trained_on() == TrainedOn("", "0f", {}, "1e")
    run.pictures.write_text("{")
    with pytest.raises(UserError, match=r"pictures\.json is damaged .*: delete it"):
        run.trained_on()


@pytest.mark.parametrize(
    ("pixels", "same"), [("1e", True), ("2d", False), ("", True)], ids=["same", "other", "unknown"]
)
def test_pictures_of_the_same_names_are_told_apart_where_their_pixels_are_known(pixels, same):
    one, other = TrainedOn("a", "0f", {}, "1e"), TrainedOn("b", "0f", {}, pixels)
    assert one.same_pictures(other) == other.same_pictures(one) == same
    assert not one.same_pictures(TrainedOn("a", "0e", {}, "1e"))


HOLD = f"""
import signal, sys
from {run_dir.__name__} import RunDir
with RunDir(sys.argv[1]).lock():
    print("in", flush=True)
    signal.pause()
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path):
    run = RunDir(tmp_path / "run")
    first = subprocess.Popen([sys.executable, "-c", HOLD, run], stdout=subprocess.PIPE, text=True)
    with first:
        assert first.stdout.readline() == "in\n"
        assert run.is_locked()
        with pytest.raises(UserError, match="Another process is training in"), run.lock():
            pytest.fail("two processes are in")
        first.kill()
    with run.lock():
        assert run.is_locked()
    assert not run.is_locked()


def test_the_lock_is_freed_when_a_run_fails(tmp_path):
    run = RunDir(tmp_path)
    with pytest.raises(ZeroDivisionError), run.lock():
        raise ZeroDivisionError
    assert not run.is_locked()


@pytest.mark.parametrize("character", ["[", "]", "\\"])
def test_a_name_in_which_checkpoints_would_be_lost_is_refused(tmp_path, character):
    odd = RunDir(tmp_path / f"a{character}b")
    with pytest.raises(UserError, match="Checkpoints cannot be kept in"), odd.lock():
        pass
    assert not odd.path.exists()
    RunDir(tmp_path / "a b\n*?%20ü").check_name()
