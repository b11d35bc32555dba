"""Whatever JAX's settings are in a process, bcjax computes the same numbers, and leaves them so."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import optax
import pytest
from commandline import TINY, run_bcjax
from jax._src.config import config_states
from processes import assert_same_state
from tiny import SIZE, Network, batches, same_bits

import bcjax
from bcjax import config as configs
from bcjax import engine
from bcjax.data.sources import synthetic
from bcjax.runtime import jax_settings
from bcjax.runtime.jax_settings import FIXED
from bcjax.runtime.run_dir import RunDir
from bcjax.training import loggers

# For each setting another value than that of bcjax.
OTHERS = {
    "jax_explicit_x64_dtypes": "allow",
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_default_prng_impl": "rbg",
    "jax_random_seed_offset": 7,
    "jax_default_matmul_precision": "bfloat16",
    "jax_optimization_level": "O0",
    "jax_exec_time_optimization_effort": -1.0,
    "jax_memory_fitting_level": "O0",
    "jax_memory_fitting_effort": -1.0,
}
OTHERS |= {name: not value for name, value in FIXED.items() if isinstance(value, bool)}


@pytest.fixture
def set_others():
    """Sets settings of this process; afterwards they are as they were."""
    before = {name: config_states[name].value for name in FIXED}

    def update(*names):
        for name in names:
            jax.config.update(name, OTHERS[name])

    yield update
    for name, value in before.items():
        jax.config.update(name, value)


# What decides the numbers of a function that somebody else compiles. The others change how it is
# compiled, and whether.
OF_PIECES = [*FIXED][: [*FIXED].index("jax_disable_jit")]


def own_loop():
    """A step and a prediction with the pieces of `bcjax.engine`, compiled by their user."""
    config = configs.replaced(
        configs.default(),
        {"data.image_size": SIZE, "augment.ops": ("flip",), "seed": 3}
        | {"model.mean": (0.5, 0.4, 0.3), "model.std": (0.2, 0.25, 0.3)},
    )
    model, optimizer = Network(dropout=0.5), optax.sgd(1e-2)
    state = engine.new_state(model, optimizer, config)
    gradient = jax.value_and_grad(engine.training_loss(model, config), has_aux=True)
    predict = engine.predict_step(model, config.model.mean, config.model.std)

    @jax.jit
    def step(state, batch):
        (_, batch_stats), grads = gradient(state.params, state, batch)
        state = engine.apply_gradients(state, optimizer, grads, batch_stats)
        return state, predict(state.variables, batch, {})

    return jax.device_get(step(state, {name: array[0] for name, array in batches(1, 4).items()}))


def test_every_setting_has_another_value_in_these_tests():
    assert OTHERS.keys() == FIXED.keys()
    for name, value in FIXED.items():
        assert config_states[name].value == config_states[name](value).new_val, name


def numbers():
    """Draws, multiplies, adds up and differentiates, in a program that compiles in a blink."""
    x = jax.random.normal(jax.random.key(5), (8, 8))
    gumbel = jax.random.gumbel(jax.random.key(6), (8,))

    @jax.jit
    def loss(x):
        return (jax.nn.softmax(x @ x + gumbel).astype("float16").sum() + np.arange(8)).mean()

    return jax.device_get((x, gumbel, jax.value_and_grad(loss)(x)))


@pytest.mark.parametrize("name", FIXED)
def test_each_setting_is_fixed_for_a_while_and_then_as_it_was(name, set_others):
    fixed = jax_settings.fixed()(numbers)
    before = fixed()
    set_others(name)
    assert same_bits(fixed(), before)
    own = config_states[name](OTHERS[name]).new_val
    assert getattr(jax.config, name) == own
    with jax_settings.fixed(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(getattr, jax.config, name).result() == own  # of other threads, too


def test_the_pieces_of_the_engine_compute_the_same(set_others):
    before = own_loop()
    set_others(*OF_PIECES)
    assert same_bits(own_loop(), before)


@pytest.mark.slow
def test_a_run_trains_resumes_and_answers_the_same(trained, own_run, set_others, tmp_path):
    images, network = [synthetic.draw(0, 0, size=40).image], bcjax.load(trained.workdir)
    answers, explanation = network.predict(images), network.explain(images)
    set_others(*OTHERS)
    fresh = run_bcjax("train", *TINY, f"--workdir={tmp_path / 'fresh'}")
    assert fresh.status == 0, fresh.err
    assert_same_state(tmp_path / "fresh", trained.workdir)
    shutil.rmtree(own_run / "checkpoints" / "6")
    resumed = run_bcjax("train", *TINY, f"--workdir={own_run}")
    assert "resumed at step" in resumed.out
    assert "computed with other" not in resumed.out
    assert_same_state(own_run, trained.workdir)
    for workdir in (tmp_path / "fresh", own_run):
        assert bcjax.evaluate(workdir) == bcjax.evaluate(trained.workdir)
    again = bcjax.load(tmp_path / "fresh")
    assert np.array_equal(again.predict(images).logits, answers.logits)
    assert same_bits(again.explain(images).maps, explanation.maps)
    logits = jax.jit(again.logits)(again.preprocess(images))  # how it is compiled is the user's
    np.testing.assert_allclose(logits, answers.logits, rtol=1e-4)
    assert logits.dtype == np.float32


@pytest.mark.slow
def test_a_program_takes_none_from_the_environment(trained, own_run):
    environment = {name.upper(): str(OTHERS[name]) for name in FIXED}
    shutil.rmtree(own_run / "checkpoints" / "6")
    command = [sys.executable, "-m", "bcjax.main", "train", *TINY, f"--workdir={own_run}"]
    ran = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "jax_enable_x64 is True here" in ran.stderr
    assert_same_state(own_run, trained.workdir)
    assert not environment.keys() & loggers.read(RunDir(own_run).sessions)[-1]["compiler"].keys()
