"""`bcjax serve` as a process: its start, slow senders, its end, newer checkpoints under load."""

import json
import shutil
import signal
import socket
import threading
import time

import httpx
import pytest
from commandline import refused
from patience import PATIENCE

import bcjax as library
from bcjax.serve.served_run import ServedRun
from bcjax.serve.settings import Settings

PNG = {"content-type": "image/png"}


def test_it_serves_several_runs_and_says_by_what(
    processes, calibrated, trained, pictures, expected
):
    service = processes(f"--workdir=a={calibrated},b={trained.workdir}", BCJAX_TOKEN=" secret\n")
    assert any("a: checkpoint 6" in line and "answered by jax" in line for line in service.lines)
    assert "127.0.0.1" in service.url
    headers = {"authorization": "Bearer secret"}
    files = [("pictures", (str(i), each)) for i, each in enumerate(pictures)]
    with service.client() as client:
        assert client.get("/v1/models").status_code == 401
        for name in ("a", "b"):
            answer = client.post(f"/v1/predict?model={name}", files=files, headers=headers)
            assert answer.json()["model"] == name
        unnamed = client.post("/v1/predict", files=files, headers=headers).json()
    assert unnamed["model"] == "a"
    found = unnamed["predictions"]
    assert [each["label"] for each in found] == [each.label for each in expected]
    assert [each["set"] for each in found] == [list(each.set) for each in expected]
    service.process.send_signal(signal.SIGINT)
    status, said = service.ended()
    assert status == 0
    assert "secret" not in said


def test_mistakes_are_one_sentence(bcjax, calibrated, tmp_path):
    run = f"--workdir={calibrated}"
    refused(bcjax("serve"), "--workdir")
    refused(bcjax("serve", f"--workdir={tmp_path}", "--port=0"), tmp_path)
    refused(bcjax("serve", run, "--port=0", "--checkpoint=77"), "77")
    refused(bcjax("serve", f"--workdir={calibrated},{calibrated}"), "name")
    refused(bcjax("serve", f"--workdir=a={calibrated},a={calibrated}"), "two")
    refused(bcjax("serve", f"--workdir=a/b={calibrated}"), "a/b")
    refused(bcjax("serve", run, "--port=70000"), "70000")
    refused(bcjax("serve", run, "--host=256.0.0.1", "--port=0"), "256.0.0.1", "--host")
    refused(bcjax("serve", run, "--timeout-seconds=0"), "timeout")
    refused(bcjax("serve", run, "--max-wait-ms=-1"), "max_wait")
    refused(bcjax("serve", run, "--queue=2"), "queue")
    refused(bcjax("serve", run, f"--token-file={tmp_path / 'none'}"), "none")
    empty = tmp_path / "token"
    empty.write_text("\n")
    refused(bcjax("serve", run, f"--token-file={empty}"), "empty")


def test_a_port_that_is_taken_is_one_sentence(bcjax, calibrated):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(bcjax("serve", f"--workdir={calibrated}", f"--port={port}"), port, "--port")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", None),
        (b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nX-", None),
        (
            b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
            b"Content-Length: 100\r\n\r\n12345",
            b"408",
        ),
    ],
    ids=["nothing", "half a head", "half a body"],
)
def test_a_slow_sender_is_given_up(threads, sent, status):
    address = threads(timeout=0.3)
    with socket.create_connection(address, PATIENCE) as connection:
        connection.sendall(sent)
        found = b""
        while part := connection.recv(65536):  # until the service ends the connection
            found += part
    assert (b"HTTP/1.1 %s" % status in found) if status else not found
    url = "http://{}:{}/health/ready".format(*address)
    assert httpx.get(url, trust_env=False).status_code == 200


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except OSError:
        return False
    return True


def test_what_was_begun_is_answered_before_it_ends(processes, calibrated, pictures):
    service = processes(f"--workdir={calibrated}")
    host, port = service.url.removeprefix("http://").rstrip("/").split(":")
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(pictures[0])}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(head.encode() + pictures[0][:100])
        with service.client() as client:  # so that the half request has been read
            assert client.get("/health/live").status_code == 200
        service.process.terminate()
        while listens(host, int(port)):
            assert service.process.poll() is None
            time.sleep(0.01)
        connection.sendall(pictures[0][100:])
        found = b""
        while part := connection.recv(65536):
            found += part
    assert found.startswith(b"HTTP/1.1 200")
    assert b'"label"' in found
    assert service.ended()[0] == 0


def test_a_newer_checkpoint_takes_over_under_load_and_no_request_is_lost(
    processes, calibrated, pictures, tmp_path
):
    run = shutil.copytree(calibrated, tmp_path / "run")
    newer = run / "checkpoints" / "6"
    aside = tmp_path / "6"
    shutil.move(newer, aside)
    service = processes(f"--workdir={run}", "--checkpoint=latest", "--reload-seconds=0.1")
    answers: list[tuple[int, int]] = []
    stop = threading.Event()

    def ask() -> None:
        with service.client() as client:
            while not stop.is_set():
                files = [("pictures", (str(i), each)) for i, each in enumerate(pictures[:3])]
                answer = client.post("/v1/predict", files=files)
                answers.append((answer.status_code, answer.json().get("checkpoint")))

    def wait_for(checkpoint: int, since: int = 0) -> None:
        until = time.monotonic() + PATIENCE
        while not any(found == checkpoint for _, found in answers[since:]):
            assert time.monotonic() < until, answers[-5:]
            time.sleep(0.01)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for each in asking:
        each.start()
    try:
        wait_for(4)
        shutil.move(aside, newer)
        wait_for(6)
    finally:
        stop.set()
        for each in asking:
            each.join()
    assert {status for status, _ in answers} == {200}
    assert {checkpoint for _, checkpoint in answers} == {4, 6}
    with service.client() as client:
        assert 'checkpoint="6"' in client.get("/metrics").text
        library.calibrate(run, checkpoint="latest", coverage=0.5)  # answers change with it, too
        before = service.client().post("/v1/predict", content=pictures[0], headers=PNG).json()
        until = time.monotonic() + PATIENCE
        wanted = list(library.load(run, "latest").predict(pictures[0])[0].set)
        while before["predictions"][0]["set"] != wanted:
            assert time.monotonic() < until
            time.sleep(0.05)
            before = client.post("/v1/predict", content=pictures[0], headers=PNG).json()
    service.process.terminate()
    status, said = service.ended()
    assert status == 0
    assert "checkpoint 6 answers now" in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert len(lines) >= len(answers)


def test_a_damaged_newer_checkpoint_leaves_the_old_one(calibrated, tmp_path, caplog):
    run = shutil.copytree(calibrated, tmp_path / "run")
    newer, aside = run / "checkpoints" / "6", tmp_path / "6"
    shutil.move(newer, aside)
    served = ServedRun("a", run, "latest", "jax", Settings(max_batch=1))
    assert served.reload() is False
    for path in (path for path in aside.rglob("*") if path.is_file()):
        path.write_bytes(b"damaged")
    shutil.move(aside, newer)
    assert served.reload() is None
    assert served.loaded.step == 4
    assert "checkpoint 4 stays" in caplog.text
    assert served.reload() is False  # told once
