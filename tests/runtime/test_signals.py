import os
import signal

import pytest

from bcjax.runtime.signals import EXIT_STATUS, Interrupts

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture
def acted():
    """The signals that reach the handlers which were there before."""
    seen = []
    before = {n: signal.signal(n, lambda number, frame: seen.append(number)) for n in SIGNALS}
    yield seen
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_does_not_act(acted, number):
    with Interrupts() as interrupts:
        assert interrupts.agreed() == 0
        send(number)
        assert interrupts.agreed() == number
    assert acted == []


@pytest.mark.parametrize("second", SIGNALS)
@pytest.mark.parametrize("first", SIGNALS)
def test_the_second_signal_acts(acted, first, second):
    with Interrupts() as interrupts:
        send(first)
        send(second)
        assert interrupts.agreed() == first
    assert acted == [second]


@pytest.mark.parametrize("number", SIGNALS)
def test_afterwards_signals_act_as_before(acted, number):
    before = signal.getsignal(number)
    with pytest.raises(ZeroDivisionError), Interrupts():
        raise ZeroDivisionError
    assert signal.getsignal(number) == before
    send(number)
    assert acted == [number]


def test_the_exit_status_is_the_shells():
    assert dict(EXIT_STATUS) == {number: 128 + number for number in SIGNALS}


def test_a_closed_terminal_that_is_ignored_stays_ignored():
    """As `nohup` has it, so that a run outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            send(signal.SIGHUP)
            assert interrupts.agreed() == 0
    finally:
        signal.signal(signal.SIGHUP, before)
