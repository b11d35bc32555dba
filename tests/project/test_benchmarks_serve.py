"""`benchmarks/serve.py`: its table, and that its broken requests are the same each time."""

import random

import pytest
from places import ROOT

ABOUT = {
    "date": "2026-11-30", "device": "cpu", "cores": 2, "processor": "a processor",
    "versions": {"bcjax": "0.1.0", "jax": "0.10.2"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def test_the_table_says_what_was_carried_and_how_the_broken_requests_ended():
    import serve

    side = {"requests_per_s": 20.0, "p50_ms": 800.0, "p99_ms": 900.0, "pictures_per_batch": 1.0}
    side |= {"rss_before": 1e9, "rss_after": 1e9}
    batched = side | {"requests_per_s": 64.0, "pictures_per_batch": 15.5}
    row = {"network": "AlexNet", "image_size": 96, "backend": "jax", "gain": 3.2}
    fuzz = {
        "requests": 10_000, "statuses": {"200": 4000, "422": 6000}, "server_errors": 0,
        "cut_off": 0, "settled": 2000, "rss_settled": 4e8, "rss_end": 4.04e8, "growth": 0.01,
    }  # fmt: skip
    page = {
        "command": "python benchmarks/serve.py", "about": ABOUT, "fuzz": fuzz,
        "setting": {"turns": 5, "seconds": 8, "clients": 16, "photograph": 360},
        "loads": [row | {"without": side, "with": batched}],
    }  # fmt: skip
    text = serve.table(page)
    for told in (
        "| AlexNet, 96 px | jax | 20.0 | 64.0 | 3.20 |", "15.5", "16 clients", "10,000 broken",
        "6,000 with 422", "0 with 5xx", "(+1.0%)", "`python benchmarks/serve.py`",
    ):  # fmt: skip
        assert told in text, told
    assert "clients" not in serve.table(page | {"loads": []})


def test_the_broken_requests_are_the_same_each_time_and_of_every_kind():
    import serve_fuzz

    def made(seed):
        rng, pictures = random.Random(seed), serve_fuzz._pictures()
        return [serve_fuzz._request(rng, "a", pictures) for _ in range(200)]

    assert made(0) == made(0)
    assert made(0) != made(1)
    assert {path for path, _, _ in made(0)} == {"/v1/predict", "/v2/models/a/infer"}
    kinds = {headers.get("Content-Type", "") for _, headers, _ in made(0)}
    assert {"application/json", "image/png", "multipart/form-data; boundary=b"} <= kinds
