"""The token, the queue, time-outs, ids, the log and the metrics."""

import json
import logging
import re
import threading

import pytest
from patience import PATIENCE

from bcjax.serve.settings import Settings

PNG = {"content-type": "image/png"}
OPEN = (
    "/",
    "/openapi.json",
    "/health/live",
    "/health/ready",
    "/v2/health/live",
    "/v2/health/ready",
)
CLOSED = ("/metrics", "/v1/models", "/v2", "/v2/models/clinic", "/nothing")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "secret",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic secret",
        "Bearer secret2",
        b"Bearer \xff\xfe",
    ],
)
def test_without_the_token_nothing_but_health_is_answered(serve, pictures, header):
    client = serve(token="secret")
    headers = {} if header is None else {"authorization": header}
    for path in OPEN:
        assert client.get(path, headers=headers).status_code == 200
    for path in CLOSED:
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "Authorization: Bearer" in answer.json()["error"]
    sent = client.post("/v1/predict", content=pictures[0], headers=PNG | headers)
    assert sent.status_code == 401


def test_with_the_token_all_is_answered(serve, pictures):
    client = serve(token="secret")
    headers = {"authorization": "bearer secret"}
    for path in CLOSED[:-1]:
        assert client.get(path, headers=headers).status_code == 200
    sent = client.post("/v1/predict", content=pictures[0], headers=PNG | headers)
    assert sent.status_code == 200


def test_the_token_is_not_shown_by_the_settings():
    assert "secret" not in repr(Settings(token="secret"))


class Held:
    """A network that does not answer before it is told to."""

    def __init__(self, network):
        self._network = network
        self.go_on, self.begun = threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self._network, name)

    def answer(self, pixels, names):
        self.begun.set()
        assert self.go_on.wait(PATIENCE)
        return self._network.answer(pixels, names)


@pytest.fixture
def held(runs, monkeypatch):
    network = Held(runs[0].loaded)
    monkeypatch.setattr(runs[0], "loaded", network)
    yield network
    network.go_on.set()


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again(serve, held, pictures):
    client = serve(queue=2, max_pictures=2)
    files = [("pictures", (str(i), pictures[0])) for i in range(2)]
    first = []
    asking = threading.Thread(target=lambda: first.append(client.post("/v1/predict", files=files)))
    asking.start()
    assert held.begun.wait(PATIENCE)
    refused = client.post("/v1/predict", content=pictures[0], headers=PNG)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert client.get("/health/ready").status_code == 200
    assert "bcjax_queue_pictures 2.0" in client.get("/metrics").text
    held.go_on.set()
    asking.join(PATIENCE)
    assert first[0].status_code == 200
    assert client.post("/v1/predict", content=pictures[0], headers=PNG).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(serve, held, pictures):
    client = serve(timeout=0.05)
    answer = client.post("/v1/predict", content=pictures[0], headers=PNG)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "longer than 0.05 s" in answer.json()["error"]


def test_a_defect_is_told_with_its_id_and_the_service_goes_on(serve, runs, pictures, monkeypatch):
    client = serve()
    with monkeypatch.context() as patch:
        patch.setattr(type(runs[0].loaded), "answer", lambda *_: 1 / 0)
        answer = client.post("/v1/predict", content=pictures[0], headers=PNG)
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert client.post("/v1/predict", content=pictures[0], headers=PNG).status_code == 200


@pytest.mark.parametrize("given", ["abc-1.2_Z", "0" * 128])
def test_a_request_keeps_the_id_that_it_came_with(client, given):
    for path in ("/health/live", "/nothing", "/v1/predict"):
        answer = client.get(path, headers={"x-request-id": given})
        assert answer.headers["x-request-id"] == given
        assert answer.json().get("request_id", given) == given


@pytest.mark.parametrize("given", ["", "0" * 129, "a b", 'x"y', "a\tb", b"\xff"])
def test_another_id_is_replaced(client, given):
    answer = client.get("/health/live", headers={"x-request-id": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_the_log_has_a_line_of_json_for_each_request_and_no_picture(serve, pictures, caplog):
    client = serve(token="secret")
    headers = PNG | {"authorization": "Bearer secret"}
    with caplog.at_level(logging.INFO, "bcjax.requests"):
        client.post("/v1/predict?model=clinic", content=pictures[0], headers=headers)
        files = [("pictures", ("patient Smith.png", pictures[0]))]
        client.post("/v1/predict", files=files, headers={"authorization": "Bearer secret"})
        client.get("/nothing%0d%0a{}" + "x" * 1000)
    lines = [json.loads(each.message) for each in caplog.records if each.name == "bcjax.requests"]
    assert [each["status"] for each in lines] == [200, 200, 401]
    assert lines[0]["path"] == "/v1/predict"
    assert (lines[0]["model"], lines[0]["pictures"], lines[0]["method"]) == ("clinic", 1, "POST")
    assert lines[0]["ms"] > 0
    assert len(lines[0]["request_id"]) == 32
    assert "secret" not in caplog.text
    assert "Smith" not in caplog.text
    assert max(map(len, caplog.messages)) < 1000


def test_the_metrics_count_what_happened(client, pictures):
    files = [("pictures", (str(i), each)) for i, each in enumerate((*pictures[:2], b"none"))]
    client.post("/v1/predict", files=files)
    client.get("/v1/nothing")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    figures = dict(
        line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")
    )
    assert figures['bcjax_requests_total{route="/v1/predict",status="200"}'] == "1.0"
    assert figures['bcjax_requests_total{route="other",status="404"}'] == "1.0"
    assert figures['bcjax_pictures_total{model="clinic",outcome="answered"}'] == "2.0"
    assert figures['bcjax_pictures_total{model="clinic",outcome="unreadable"}'] == "1.0"
    assert figures["bcjax_batch_pictures_sum"] == "2.0"
    assert figures["bcjax_queue_pictures"] == "0.0"
    assert figures['bcjax_model{backend="jax",checkpoint="6",model="clinic"}'] == "1.0"
    labels = [float(value) for name, value in figures.items() if name.startswith("bcjax_labels_t")]
    assert sum(labels) == 2


def test_two_services_in_a_process_count_apart(serve):
    first, second = serve(), serve()
    first.get("/health/live")
    name = 'bcjax_requests_total{route="/health/live",status="200"}'
    assert name in first.get("/metrics").text
    assert name not in second.get("/metrics").text


def test_the_page_loads_nothing_from_elsewhere(client):
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "For research only" in page.text
    for name in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert client.get(f"/{name}").status_code == 200
    assert "//" not in "".join(re.findall(r'(?:src|href)="([^"]+)"', page.text))
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_the_openapi_page_states_every_refusal(client):
    paths = client.get("/openapi.json").json()["paths"]
    road = paths["/v1/predict"]["post"]
    assert set(road["requestBody"]["content"]) == {
        "multipart/form-data", "application/json", "image/*", "application/octet-stream",
    }  # fmt: skip
    assert set(road["responses"]) == {
        "200", "400", "401", "404", "408", "413", "415", "422", "429", "503",
    }  # fmt: skip
    for methods in paths.values():
        for each in methods.values():
            for status, response in each["responses"].items():
                if status != "200":
                    (content,) = response["content"].values()
                    assert content["schema"]["$ref"].endswith("/ErrorAnswer")
