"""What processes of a job tell each other; two real ones are in tests/integration."""

import json
import threading
from types import SimpleNamespace

import pytest

from bcjax.runtime import peers


class SlowStore:
    """The store of a coordinator that takes its time over the first word."""

    def __init__(self):
        self.pages = {}
        self.begun, self.may_end = threading.Event(), threading.Event()

    def key_value_set(self, key, page, allow_overwrite):
        if not self.begun.is_set():
            self.begun.set()
            self.may_end.wait()
        self.pages[key] = json.loads(page)


@pytest.mark.parametrize("ending", [("failed", 2, "The batch is too large."), ("done",)])
def test_no_sign_of_life_hides_how_a_process_has_ended(monkeypatch, ending):
    store = SlowStore()
    job = SimpleNamespace(client=store, process_id=1, num_processes=2)
    monkeypatch.setattr(peers.distributed, "global_state", job)
    watch = peers._Watch(60)
    sign = threading.Thread(target=watch.say, args=("lives",))
    last = threading.Thread(target=watch.say, args=ending)
    sign.start()
    store.begun.wait()
    last.start()
    last.join(0.2)  # as long as it has in vain, while the sign of life is on its way
    store.may_end.set()
    sign.join()
    last.join()
    watch.say("lives")
    ((key, (state, *_)),) = store.pages.items()
    assert (key, state) == ("bcjax/beats/1", ending[0])
