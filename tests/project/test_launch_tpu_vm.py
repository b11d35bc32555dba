"""`launch/tpu_vm.sh`, run as a user runs it, with `fake_cloud/gcloud` in the place of gcloud."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE
from places import ROOT, SUPPORT
from signals import hear_signals

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="runs the VM's commands here (flock, GNU tail)"
)

SCRIPT = ROOT / "launch/tpu_vm.sh"
FAKE_CLOUD = SUPPORT / "fake_cloud"
VM = ["--name=cells", "--zone=us-west4-a"]
AWKWARD = ["it's", 'a "b" $HOME `id`', "two  spaces;*", "line\nbreak", ""]

WORKDIR = "runs/a b"
PROGRAM = ["--config=configs/resnet50.py", f"--workdir={WORKDIR}"]
FINISHED = f"mkdir -p '{WORKDIR}'; echo loss; echo weights >'{WORKDIR}/checkpoint'"
UNTIL_GO = "touch $CLOUD/training; while ! test -e $CLOUD/go; do sleep 0.05; done"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A small repository with the scripts, one committed file and one change that is not."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(SCRIPT.parent, root / "launch")
    (root / "committed.txt").write_text("HEAD")
    git = ["git", "-C", str(root), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "--no-gpg-sign", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    (root / "committed.txt").write_text("changed since")
    (root / "untracked.txt").write_text("junk")
    return root


class Cloud:
    """A cloud of at most one VM, and `tpu_vm.sh` beside it."""

    def __init__(self, root: Path, checkout: Path):
        self.state = root / "cloud"
        self.here = root / "here"
        self.here.mkdir()
        self.state.mkdir()
        self.script = checkout / "launch/tpu_vm.sh"
        path = f"{FAKE_CLOUD}:{os.environ['PATH']}"
        self.env = {**os.environ, "PATH": path, "CLOUD": str(self.state)}
        self.set(pip="", python=FINISHED)

    def set(self, **files: str) -> None:
        for name, text in files.items():
            (self.state / name).write_text(text)

    def add_vm(self, labels="") -> None:
        self.set(vm=labels)
        (self.state / "home").mkdir()

    def has_vm(self) -> bool:
        return (self.state / "vm").exists()

    def start(self, *options, program=PROGRAM) -> subprocess.Popen:
        command = [self.script, *VM, *options, "--", *program]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            command, env=self.env, cwd=self.here, preexec_fn=hear_signals, **pipes
        )

    def run(self, *options, program=PROGRAM) -> tuple[int, str, str]:
        script = self.start(*options, program=program)
        out, err = script.communicate(timeout=PATIENCE)
        return script.returncode, out, err

    def calls(self) -> list[list[str]]:
        """The arguments of each gcloud call, from the verb on."""
        path = self.state / "calls"
        log = path.read_text() if path.exists() else ""
        return [call.split("\x1f")[3:-1] for call in log.split("\x1e")[:-1]]

    def verbs(self) -> list[str]:
        """The verbs in order, equal neighbours joined."""
        return [verb for verb, _ in itertools.groupby(call[0] for call in self.calls())]

    def wait_for_following(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ((self.state / "training").exists() and "tail" in str(self.calls())):
            assert time.monotonic() < deadline, "the training was not followed"
            time.sleep(0.02)

    def argv(self, program: str) -> list[str]:
        return (self.state / f"{program}-argv").read_text().split("\0")[:-1]

    def checkpoint(self) -> Path:
        return self.here / WORKDIR / "checkpoint"


@pytest.fixture
def cloud(tmp_path, checkout) -> Cloud:
    return Cloud(tmp_path, checkout)


ALL_THE_WAY = [
    *("describe", "create", "scp", "ssh"),  # the VM, the checkout, installing and training
    *("scp", "ssh", "describe", "delete"),  # the workdir, the cleaning up
]


def test_tpu_vm_is_created_trained_on_and_deleted(cloud):
    status, out, _ = cloud.run("--project=lab")
    assert status == 0
    assert cloud.verbs() == ALL_THE_WAY
    assert not cloud.has_vm()
    assert "loss" in out
    assert cloud.checkpoint().read_text() == "weights\n"
    assert cloud.argv("pip") == ["install", "--quiet", ".[tpu]"]
    assert all("--project=lab" in call for call in cloud.calls())
    machine = {"--accelerator-type=v5litepod-8", "--version=v2-alpha-tpuv5-lite"}
    assert machine <= set(cloud.calls()[1])


def test_tpu_vm_gets_the_committed_checkout_only(cloud):
    cloud.add_vm()
    _, _, err = cloud.run()
    (home,) = (path for path in (cloud.state / "home").iterdir() if path.is_dir())
    assert (home / "committed.txt").read_text() == "HEAD"
    assert not (home / "untracked.txt").exists()
    assert "not committed" in err


def test_tpu_vm_passes_arguments_unchanged(cloud):
    program = [*PROGRAM, *AWKWARD]
    assert cloud.run(program=program)[0] == 0
    assert cloud.argv("python") == ["-m", "bcjax.main", *program]


@pytest.mark.parametrize(
    "program", [["--config.workdir=w"], ["--workdir", "w"], ["--workdir=v", "--workdir=w"]]
)
def test_tpu_vm_finds_the_workdir_as_the_program_would(cloud, program):
    assert "\nmkdir -p w\n" in cloud.run("--dry-run", program=program)[1]


def test_tpu_vm_is_deleted_when_training_fails(cloud):
    until_followed = "until grep -q tail $CLOUD/calls; do sleep 0.05; done"
    cloud.set(python=f"{until_followed}; {FINISHED}; exit 3")
    assert cloud.run()[0] == 3
    assert cloud.verbs() == ALL_THE_WAY
    assert cloud.checkpoint().exists()
    assert not cloud.has_vm()


def test_tpu_vm_is_deleted_when_installing_fails(cloud):
    cloud.set(pip="exit 4")
    assert cloud.run()[0] == 4
    assert not (cloud.state / "python-argv").exists()
    assert not cloud.has_vm()


def test_tpu_vm_killed_without_a_status_counts_as_failed(cloud):
    cloud.set(python="kill -KILL $PPID $$")
    assert cloud.run()[0] == 1
    assert not cloud.has_vm()


def test_tpu_vm_is_kept_on_demand(cloud):
    cloud.set(python="exit 3")
    status, _, err = cloud.run("--keep")
    assert status == 3
    assert "gcloud compute tpus tpu-vm delete cells --zone=us-west4-a" in err

    cloud.set(python=FINISHED)  # the kept VM runs the same command afresh, and stays
    assert cloud.run()[0] == 0
    assert "delete" not in cloud.verbs()


@pytest.mark.parametrize(
    ("labels", "python", "expected"), [("", FINISHED, 0), ("bcjax-run=12345", "exit 3", 3)]
)
def test_tpu_vm_of_other_origin_is_used_and_never_deleted(cloud, labels, python, expected):
    cloud.add_vm(labels)
    cloud.set(python=python)
    assert cloud.run()[0] == expected
    assert not {"create", "delete"} & set(cloud.verbs())


def test_tpu_vm_that_cannot_be_created_leaves_nothing(cloud):
    cloud.set(fail="create")
    status, _, err = cloud.run()
    assert status == 1
    assert "UNAVAILABLE" in err
    assert "costing" not in err
    assert cloud.verbs() == ["describe", "create", "describe"]


def test_tpu_vm_is_not_created_while_its_absence_is_unknown(cloud):
    cloud.set(fail="describe")
    assert cloud.run()[0] == 1
    assert cloud.verbs() == ["describe"]


def test_tpu_vm_that_cannot_be_deleted_is_reported(cloud):
    cloud.set(fail="delete")
    status, _, err = cloud.run()
    assert status == 1
    assert "costing" in err


def test_tpu_vm_run_goes_on_without_the_connection_and_is_taken_up_again(cloud):
    cloud.set(unplug="", python=f"{UNTIL_GO}; {FINISHED}; exit 5")
    status, _, err = cloud.run()
    assert status == 255
    assert "same command again" in err
    assert cloud.has_vm()

    assert cloud.run()[0] == 255  # still out of reach: still not deleted
    (cloud.state / "fail").unlink()
    cloud.set(calls="", go="")
    status, out, _ = cloud.run()
    assert status == 5
    assert "loss" in out
    assert cloud.checkpoint().exists()
    assert cloud.verbs() == ["describe", "ssh", "scp", "ssh", "describe", "delete"]


def test_tpu_vm_is_not_deleted_before_the_workdir_is_home(cloud):
    cloud.set(python=f"{FINISHED}; echo scp >$CLOUD/fail")
    assert cloud.run()[0] == 255
    assert cloud.has_vm()

    (cloud.state / "fail").unlink()
    assert cloud.run()[0] == 0
    assert cloud.checkpoint().exists()
    assert not cloud.has_vm()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_tpu_vm_stop_lets_the_program_save(cloud, number):
    cloud.set(python=f"save() {{ {FINISHED}; exit 143; }}; trap save TERM; {UNTIL_GO}")
    script = cloud.start()
    cloud.wait_for_following()
    script.send_signal(number)
    script.communicate(timeout=PATIENCE)
    assert script.returncode == 143
    assert cloud.checkpoint().exists()
    assert not cloud.has_vm()


def test_tpu_vm_hangup_leaves_the_run_alone(cloud):
    cloud.set(python=f"{UNTIL_GO}; {FINISHED}")
    script = cloud.start()
    cloud.wait_for_following()
    script.send_signal(signal.SIGHUP)
    assert script.wait(timeout=PATIENCE) == 255
    assert cloud.has_vm()

    cloud.set(go="")
    assert cloud.run()[0] == 0
    assert cloud.checkpoint().exists()
    assert not cloud.has_vm()


@pytest.mark.parametrize("options", [[], ["--keep"]])
def test_tpu_vm_dry_run_prints_what_a_run_does_and_does_nothing(cloud, options):
    out = cloud.run("--dry-run", *options)[1]
    assert cloud.calls() == []
    assert not any(cloud.here.iterdir())
    printed = re.findall(r"^gcloud compute tpus tpu-vm (\w+)", out, re.MULTILINE)
    assert cloud.run(*options)[0] == 0
    assert printed == [call[0] for call in cloud.calls()]


def test_help_is_printed():
    for flag in ("-h", "--help"):
        done = subprocess.run([SCRIPT, flag], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0
        assert done.stdout.startswith("Usage: launch/tpu_vm.sh")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--spot"], "no option --spot"),
        (["--zone=us-west4-a"], "--name=NAME"),
        (["--name=Cells_1", "--zone=us-west4-a"], "lower-case"),
        (["--name=cells"], "--zone=ZONE"),
        (VM, "--workdir=DIR"),
    ],
)
def test_a_mistake_ends_with_one_sentence_and_status_2(options, sentence):
    done = subprocess.run([SCRIPT, *options], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("tpu_vm.sh: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
