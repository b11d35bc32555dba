"""A run goes on longer, or with other settings, where the user says so; what happened is kept."""

import json
import shutil

import jax
import jax.numpy as jnp
import pytest
from commandline import refused, run_bcjax
from places import SUPPORT
from processes import assert_same_state, log, steps

import bcjax
from bcjax import config as configs
from bcjax.data.order import Order
from bcjax.engine import network
from bcjax.engine import optimizer as optimizers
from bcjax.engine import state as states
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.training_sessions import read_sessions

QUICK = (
    f"--config={SUPPORT / 'quick_config.py'}",
    "--config.train.log_every=1 steps",
    "--config.checkpoint.keep=20",
    "--config.optim.ema=0.5",
    "--config.eval.report=False",
)
LONGER = "--config.train.length=10 steps"
COSINE = ("--config.optim.schedule=cosine", "--config.optim.warmup=2 steps")


def command(workdir, *flags):
    return run_bcjax("train", *QUICK, f"--workdir={workdir}", *flags)


def trained(workdir, *flags):
    """Trains; returns what was printed."""
    ran = command(workdir, *flags)
    assert ran.status == 0, ran.err
    return ran.out


def rates(workdir):
    return {line["step"]: line["train/lr"] for line in log(workdir) if "train/lr" in line}


def sessions(workdir):
    return read_sessions(RunDir(workdir).sessions)


def forget(workdir, after):
    """Leaves the run as a kill would have: its checkpoints after a step are not there."""
    for step in steps(workdir):
        if step > after:
            shutil.rmtree(workdir / "checkpoints" / str(step))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Finished runs of 6 steps, by schedule."""
    folder = tmp_path_factory.mktemp("finished")
    trained(folder / "constant")
    trained(folder / "cosine", *COSINE)
    return folder


@pytest.fixture
def constant(finished, tmp_path):
    return shutil.copytree(finished / "constant", tmp_path / "constant")


@pytest.fixture
def cosine(finished, tmp_path):
    return shutil.copytree(finished / "cosine", tmp_path / "cosine")


def test_without_the_flags_a_change_is_refused_and_the_flag_named(cosine):
    before = (cosine / "config.json").read_bytes()
    refused(command(cosine, *COSINE, LONGER), "add --extend=stretch or --extend=restart")
    refused(command(cosine, *COSINE, "--config.optim.lr=1e-2"), "another optim.lr, add --change")
    ran = command(cosine, *COSINE, "--change", "--config.optim.name=sgd")
    refused(ran, "optim.name ('adamw' there, 'sgd' here)")
    refused(command(cosine, *COSINE, "--change", LONGER), "add --extend")
    assert (cosine / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ((*COSINE, LONGER, "--extend"), "--extend=stretch, which computes it over the new length"),
        ((*COSINE, "--config.train.length=4 steps", "--extend=stretch"), "not longer than"),
        ((*COSINE, LONGER, "--extend=twice"), "should be one of <stretch|restart|true>"),
    ],
)
def test_an_extension_that_is_not_possible_is_refused(cosine, flags, named):
    refused(command(cosine, *flags), named)


def test_where_no_run_has_begun_none_is_extended(tmp_path):
    refused(command(tmp_path / "new", "--extend"), "holds no run that could go on")
    assert not (tmp_path / "new" / "config.json").exists()


def test_with_a_constant_rate_the_extended_run_is_the_one_that_was_as_long_from_the_start(
    constant, tmp_path
):
    said = trained(constant, LONGER, "--extend")
    assert "train.length from '6 steps' to '10 steps'" in said
    trained(tmp_path / "whole", LONGER)
    assert_same_state(constant, tmp_path / "whole")
    assert log(constant) == log(tmp_path / "whole")
    first, second = sessions(constant)
    assert (first.last_step, second.first_step, second.last_step) == (6, 6, 10)
    assert first.changes == {}
    assert second.changes == {"train.length": ["6 steps", "10 steps"]}


def test_a_stretched_schedule_is_computed_over_the_new_length(cosine, tmp_path):
    before = rates(cosine)
    trained(cosine, *COSINE, LONGER, "--extend=stretch")
    trained(tmp_path / "whole", *COSINE, LONGER)
    whole = rates(tmp_path / "whole")
    assert rates(cosine) == before | {step: whole[step] for step in range(7, 11)}


def test_a_restarted_schedule_runs_over_the_added_steps_with_its_warm_up(cosine):
    before = rates(cosine)
    trained(cosine, *COSINE, "--config.train.length=12 steps", "--extend=restart")
    assert rates(cosine) == before | {step + 6: rate for step, rate in before.items()}
    (change,) = sessions(cosine)[1:]
    assert change.changes["train.restarts"] == [[], [6]]


# Where even the checkpoint at the end of the shorter run is gone, a restart still comes after it.
@pytest.mark.parametrize(("way", "left"), [("stretch", (6, 8)), ("restart", (4, 6, 8))])
def test_a_kill_in_the_extended_part_changes_no_bit_and_the_flag_may_stay_or_go(
    cosine, way, left, tmp_path
):
    flags = (*COSINE, LONGER, f"--extend={way}")
    trained(cosine, *flags)
    for after, again in (*((step, flags) for step in left), (8, flags[:-1])):
        killed = shutil.copytree(cosine, tmp_path / f"{after}-{len(again)}")
        forget(killed, after)
        trained(killed, *again)
        assert_same_state(cosine, killed)
        assert log(cosine) == log(killed)


def test_a_run_is_extended_more_than_once(cosine):
    trained(cosine, *COSINE, LONGER, "--extend=restart")
    trained(cosine, *COSINE, "--config.train.length=14 steps", "--extend=restart")
    said = trained(cosine, *COSINE, "--config.train.length=14 steps", "--extend=restart")
    assert "Step 14 is already the end" in said
    assert steps(cosine)[-1] == 14
    assert json.loads((cosine / "config.json").read_text())["train"]["restarts"] == [6, 10]


def test_what_patience_has_ended_is_restarted_or_given_more(constant, tmp_path):
    """Gains of 2 are not possible, so patience ends the run at its second evaluation."""
    impatient = ("--config.train.patience=1", "--config.train.min_delta=2.0")
    trained(tmp_path / "run", *impatient)
    assert steps(tmp_path / "run")[-1] == 4
    config = (tmp_path / "run" / "config.json").read_bytes()
    refused(command(tmp_path / "run", *impatient, LONGER, "--extend"), "--config.train.patience=")
    assert (tmp_path / "run" / "config.json").read_bytes() == config
    restarted = shutil.copytree(tmp_path / "run", tmp_path / "restarted")
    trained(restarted, *impatient, LONGER, "--extend=restart")
    assert steps(restarted)[-1] == 8  # four of its own, until patience ends them, too
    more = ("--config.train.patience=9", "--config.train.min_delta=2.0")
    trained(tmp_path / "run", *more, LONGER, "--extend", "--change")
    assert steps(tmp_path / "run")[-1] == 10


def test_a_rate_that_is_changed_holds_from_then_on_and_is_recorded(constant):
    forget(constant, 4)
    said = trained(constant, "--config.optim.lr=0.5", "--change")
    assert "changed     optim.lr from 0.001 to 0.5" in said
    assert rates(constant) == pytest.approx({1: 1e-3, 2: 1e-3, 3: 1e-3, 4: 1e-3, 5: 0.5, 6: 0.5})
    assert sessions(constant)[-1].changes == {"optim.lr": [0.001, 0.5]}
    assert json.loads((constant / "config.json").read_text())["optim"]["lr"] == 0.5


def test_with_another_batch_size_the_pictures_go_on_and_epochs_stay_epochs(tmp_path):
    """64 pictures train; two epochs of 8 are 16 steps."""
    epochs = "--config.train.length=2 epochs"
    trained(tmp_path, epochs)
    end = steps(tmp_path)[-1]
    forget(tmp_path, 8)
    trained(tmp_path, epochs, "--config.train.batch_size=16", "--change")
    assert steps(tmp_path)[-1] == 8 + (end - 8) // 2
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["train"]["shown"] == [8, 64]
    last = shutil.copytree(tmp_path, tmp_path / "killed")
    forget(last, 9)
    trained(last, epochs, "--config.train.batch_size=16")
    assert_same_state(tmp_path, last)


def test_the_state_fits_every_setting_that_may_change():
    """With each of them changed, each array of the state has the shape and the place it had."""
    other = {
        "augment.ops": ("flip",), "model.dropout": 0.5, "model.drop_path": 0.1, "model.l1": 0.1,
        "model.l2": 0.1, "optim.lr": 0.1, "optim.b1": 0.5, "optim.b2": 0.5, "optim.eps": 0.1,
        "optim.weight_decay": 0.0, "optim.clip_norm": 1.0, "optim.schedule": "step",
        "optim.warmup": "1 steps", "optim.final_lr_fraction": 0.5, "optim.step_at": (0.3,),
        "optim.step_factor": 0.5, "optim.accumulate": 2, "optim.plateau.patience": 3,
        "optim.plateau.factor": 0.5, "optim.plateau.min_scale": 0.5, "train.batch_size": 16,
        "train.label_smoothing": 0.1, "train.loss": "focal", "train.callbacks": ("call",),
        "train.focal_gamma": 1.0, "train.class_weights": "balanced", "train.patience": 3,
        "train.min_delta": 0.1, "checkpoint.every": "2 steps", "eval.every": "2 steps",
            "eval.also": ("blur(1)",),
    }  # fmt: skip
    assert set(other) == {name for name, key in configs.KEYS.items() if key.with_change}

    def shapes(changes):
        asked = {"model.name": "convnext_tiny", "data.image_size": 32}
        config = network.resolve(configs.replaced(configs.default(), asked | changes))
        return jax.eval_shape(lambda: states.initializer(network.build(config, 3), config)(0))

    assert shapes({}) == shapes(other)
    params = {"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(3)}
    for name in optimizers.OPTIMIZERS:
        before, since = (
            optimizers.create(
                configs.replaced(configs.default(), changes).optim, total_steps=10, warmup_steps=1
            )
            for changes in ({"optim.name": name}, {"optim.name": name} | other)
        )
        assert jax.eval_shape(before.init, params) == jax.eval_shape(since.init, params), name


def test_the_order_goes_on_where_the_batch_size_changes():
    small, large = Order(10, 4, seed=3), Order(10, 8, seed=3, shown=(5, 20))
    assert [large.position(step) for step in (0, 4, 5, 6)] == [0, 16, 20, 28]
    assert large(5).tolist() == [*small(5), *small(6)]


def test_members_are_extended_together(tmp_path):
    members = ("--config.train.members=2", "--config.train.length=4 steps", *COSINE)
    trained(tmp_path, *members)
    longer = ("--config.train.members=2", LONGER, *COSINE)
    refused(command(tmp_path, *longer), "add --extend=stretch")
    trained(tmp_path, *longer, "--extend=restart")
    trained(tmp_path, *longer, "--extend=restart")
    for folder in (tmp_path, tmp_path / "member-0", tmp_path / "member-1"):
        assert json.loads((folder / "config.json").read_text())["train"]["restarts"] == [4]
    assert [steps(tmp_path / f"member-{i}")[-1] for i in range(2)] == [10, 10]


def test_the_second_phase_of_fine_tuning_is_extended(tmp_path):
    phases = ("--config.finetune.first.length=4 steps", *COSINE)
    trained(tmp_path, *phases)
    trained(tmp_path, *phases, "--config.train.length=12 steps", "--extend=restart")
    assert steps(tmp_path)[-1] == 16
    assert [rates(tmp_path)[step] for step in (5, 11)] == pytest.approx([1e-3 / 3, 1e-3 / 3])


def test_python_extends_and_changes_too(cosine):
    config = configs.get(
        SUPPORT / "quick_config.py",
        {
            "workdir": str(cosine), "train.length": "8 steps", "train.log_every": "1 steps",
            "checkpoint.keep": 20, "optim.ema": 0.5, "eval.report": False, "optim.lr": 0.25,
            "optim.schedule": "cosine", "optim.warmup": "1 steps",
        },
    )  # fmt: skip
    with pytest.raises(bcjax.UserError, match="--extend=stretch"):
        bcjax.train(config)
    outcome = bcjax.train(config, extend="restart", change=True)
    assert outcome.step == 8
    assert rates(cosine)[7] == 0.125
