import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcjax import config as configs
from bcjax.engine import plan as plans
from bcjax.engine.plan import Plan

lengths = st.integers(1, 25)
plans_of_runs = st.builds(
    Plan,
    length=st.integers(1, 120),
    warmup=st.just(0),
    log_every=lengths,
    eval_every=lengths,
    save_every=lengths,
    steps_per_call=st.integers(1, 9),
    begin=st.integers(0, 30),
)


@given(plans_of_runs, st.integers(0, 120))
def test_calls_tile_the_steps_from_any_start_to_the_end(plan, start):
    taken = [range(call.first, call.first + call.steps) for call in plan.calls(start)]
    assert list(itertools.chain(*taken)) == list(range(start, plan.end))


@given(plans_of_runs, st.integers(0, 120))
def test_no_call_goes_past_a_step_where_something_happens(plan, start):
    for call in plan.calls(start):
        within = range(call.first + 1, call.first + call.steps)
        assert not any(plan.logs(s) or plan.evaluates(s) or plan.saves(s) for s in within)


@given(plans_of_runs, st.integers(0, 120))
def test_a_call_is_a_single_step_or_whole_and_at_a_multiple_of_its_length(plan, start):
    for call in plan.calls(start):
        assert call.steps in (1, plan.steps_per_call)
        assert call.first % call.steps == 0


@given(plans_of_runs, st.data())
def test_a_resumed_run_dispatches_what_an_unbroken_one_does(plan, data):
    calls = list(plan.calls(plan.begin))
    position = data.draw(st.integers(0, len(calls) - 1))
    assert list(plan.calls(calls[position].first)) == calls[position:]


def test_whole_calls_are_made_where_nothing_stands_between():
    plan = Plan(length=20, warmup=0, log_every=10, eval_every=20, save_every=20, steps_per_call=4)
    assert [call.steps for call in plan.calls(0)] == [4, 4, 1, 1, 1, 1, 4, 4]
    assert [call.steps for call in plan.calls(2)] == [1, 1, 4, 1, 1, 1, 1, 4, 4]


@given(plans_of_runs)
def test_the_last_step_logs_evaluates_and_saves(plan):
    assert plan.logs(plan.end)
    assert plan.evaluates(plan.end)
    assert plan.saves(plan.end)


@given(plans_of_runs, st.integers(1, 120))
def test_a_checkpoint_or_an_evaluation_ends_a_log_line(plan, step):
    if plan.saves(step) or plan.evaluates(step):
        assert plan.logs(step)


@pytest.fixture
def config():
    config = configs.default()
    config.train.batch_size = 32
    config.train.length = "3 epochs"
    config.optim.warmup = "0.5 epochs"
    config.train.log_every = "7 steps"
    config.eval.every = "100 examples"
    config.checkpoint.every = "2 epochs"
    return config


def test_lengths_become_steps(config):
    assert plans.resolve(config, examples=100, steps_per_call=8) == Plan(
        length=10, warmup=2, log_every=7, eval_every=4, save_every=7, steps_per_call=8
    )


def test_the_config_has_the_last_word_on_steps_per_call(config):
    config.train.steps_per_call = 3
    assert plans.resolve(config, examples=100, steps_per_call=8).steps_per_call == 3


def test_nothing_happens_more_often_than_every_step(config):
    config.train.length = config.train.log_every = "0 steps"
    config.eval.every = config.checkpoint.every = "0 epochs"
    plan = plans.resolve(config, examples=100, steps_per_call=1)
    assert (plan.length, plan.log_every, plan.eval_every, plan.save_every) == (1, 1, 1, 1)
