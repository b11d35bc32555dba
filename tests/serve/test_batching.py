"""Dynamic batching: what is answered together, what waits, what is refused."""

import threading
from concurrent.futures import Future

import numpy as np
import pytest
from patience import PATIENCE

from bcjax.serve.batching import Batcher, Waiting
from bcjax.serve.refusals import Refused


class Network:
    """Answers each picture by its first number, and keeps what it was asked together."""

    def __init__(self):
        self.batches = []
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        self.go_on.set()

    def answer(self, pixels, names):
        self.begun.release()
        assert self.go_on.wait(PATIENCE)
        self.batches.append(list(names))
        if "broken" in names:
            raise ValueError("a broken one")
        return [each[0] for each in pixels]


def waiting(number):
    return Waiting(str(number), np.array([number]), Future())


@pytest.fixture
def batcher():
    made = []

    def start(max_batch=4, max_wait=0.0, capacity=100):
        made.append(Batcher(max_batch, max_wait, capacity))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_what_gathers_while_the_network_computes_is_answered_together(batcher):
    network, queue = Network(), batcher()
    network.go_on.clear()
    pictures = [waiting(number) for number in range(6)]
    queue.put(network, pictures[0])
    assert network.begun.acquire(timeout=PATIENCE)
    for each in pictures[1:]:
        queue.put(network, each)
    network.go_on.set()
    assert [each.future.result(PATIENCE) for each in pictures] == list(range(6))
    assert network.batches == [["0"], ["1", "2", "3", "4"], ["5"]]


def test_a_picture_waits_for_others_that_are_on_their_way(batcher):
    network, queue = Network(), batcher(max_wait=PATIENCE)
    with queue.room(4):
        pictures = [waiting(number) for number in range(4)]
        for each in pictures:
            queue.put(network, each)
        assert [each.future.result(PATIENCE) for each in pictures] == list(range(4))
    assert network.batches == [["0", "1", "2", "3"]]


def test_a_picture_alone_does_not_wait(batcher):
    network, queue = Network(), batcher(max_wait=10 * PATIENCE)
    with queue.room(1):
        alone = waiting(7)
        queue.put(network, alone)
        assert alone.future.result(PATIENCE) == 7


def test_pictures_of_several_networks_are_not_mixed(batcher):
    first, second, queue = Network(), Network(), batcher()
    first.go_on.clear()
    pictures = [waiting(number) for number in range(5)]
    queue.put(first, pictures[0])
    assert first.begun.acquire(timeout=PATIENCE)
    for number, network in ((1, first), (2, second), (3, first), (4, second)):
        queue.put(network, pictures[number])
    first.go_on.set()
    assert [each.future.result(PATIENCE) for each in pictures] == list(range(5))
    assert first.batches == [["0"], ["1", "3"]]
    assert second.batches == [["2", "4"]]


def test_a_request_gets_all_of_its_places_or_none(batcher):
    queue = batcher(capacity=3)
    with queue.room(2):
        with pytest.raises(Refused) as refused, queue.room(2):
            raise AssertionError("there was no room")
        assert refused.value.status == 429
        assert refused.value.retry_after
        with queue.room(1):
            assert queue.inside == 3
    assert queue.inside == 0


def test_a_batch_that_fails_fails_alone(batcher):
    network, queue = Network(), batcher()
    broken = Waiting("broken", np.array([1]), Future())
    queue.put(network, broken)
    with pytest.raises(ValueError, match="broken"):
        broken.future.result(PATIENCE)
    after = waiting(2)
    queue.put(network, after)
    assert after.future.result(PATIENCE) == 2


def test_a_picture_that_nobody_waits_for_any_more_is_left_out(batcher):
    network, queue = Network(), batcher()
    network.go_on.clear()
    pictures = [waiting(number) for number in range(3)]
    queue.put(network, pictures[0])
    assert network.begun.acquire(timeout=PATIENCE)
    queue.put(network, pictures[1])
    queue.put(network, pictures[2])
    assert pictures[1].future.cancel()
    network.go_on.set()
    assert pictures[2].future.result(PATIENCE) == 2
    assert network.batches == [["0"], ["2"]]


def test_closing_answers_what_waits(batcher):
    network, queue = Network(), batcher()
    network.go_on.clear()
    pictures = [waiting(number) for number in range(9)]
    for each in pictures:
        queue.put(network, each)
    closing = threading.Thread(target=queue.close)
    closing.start()
    network.go_on.set()
    closing.join(PATIENCE)
    assert all(each.future.done() for each in pictures)
