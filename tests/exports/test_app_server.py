"""The server of the app: its headers, what it refuses, and the command that starts it."""

import contextlib
import gzip
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request

import pytest
from commandline import contents, refused
from places import ROOT

from bcjax.exports.webapp import local_network
from bcjax.exports.webapp.server import Server
from bcjax.runtime.errors import UserError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "site"
    (folder / "js").mkdir(parents=True)
    (folder / "index.html").write_text("<p>The page</p>" * 99)
    (folder / "js" / "main.js").write_text("start();")
    (folder / "model.onnx.gz").write_bytes(gzip.compress(b"network"))
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@contextlib.contextmanager
def running(folder, context=None):
    with Server("127.0.0.1", 0, "default-src 'none'", context) as server:
        server.publish(folder)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.port
        server.shutdown()
        thread.join()


def ask(port, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_files_come_with_their_type_and_strict_headers(folder):
    with running(folder) as port:
        status, headers, content = ask(port, "/?x=1")
        assert (status, content) == (200, (folder / "index.html").read_bytes())
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert ask(port, "/js/main.js")[1]["Content-Type"].startswith("text/javascript")
        assert ask(port, "/model.onnx.gz")[1].get("Content-Encoding") is None
        status, headers, content = ask(port, "/", method="HEAD")
        assert (status, content) == (200, b"")


def test_text_is_compressed_and_sent_once(folder):
    with running(folder) as port:
        whole = (folder / "index.html").read_bytes()
        _, headers, content = ask(port, "/", **{"Accept-Encoding": "br, gzip"})
        assert headers["Content-Encoding"] == "gzip"
        assert len(content) < len(whole) / 5
        assert gzip.decompress(content) == whole
        status, _, content = ask(port, "/", **{"If-None-Match": headers["ETag"]})
        assert (status, content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    ["/../secret.txt", "/js/../../secret.txt", "/%2e%2e/secret.txt", "//secret.txt",
     "/js", "/js/", "/none", "/\x00", "*"],
)  # fmt: skip
def test_what_is_outside_is_not_there_and_folders_are_not_listed(folder, path):
    with running(folder) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.split()[1] in (b"404", b"400")
    assert b"secret\n" not in answer
    assert b"main.js" not in answer


def test_nothing_but_reading_is_allowed(folder):
    with running(folder) as port:
        assert ask(port, "/", method="POST")[0] == 501


def test_it_encrypts_with_a_certificate_of_its_own_and_a_silent_client_stops_nobody(folder):
    with (
        running(folder, local_network.self_signed("127.0.0.1")) as port,
        socket.create_connection(("127.0.0.1", port)),  # says nothing
    ):
        unchecked = ssl._create_unverified_context()
        url = local_network.url("127.0.0.1", port)
        with urllib.request.urlopen(url, context=unchecked) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(url)


def test_a_port_that_is_taken_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} is taken.*--port={port + 1}"):
            Server("127.0.0.1", port, "", None)
    for port, host in ((70_000, "127.0.0.1"), (0, "192.0.2.99"), (0, "no such host")):
        with pytest.raises(UserError, match=r"Nothing can listen.*--host or --port"):
            Server(host, port, "", None)


def test_addresses_are_written_as_browsers_take_them():
    assert local_network.url("::1", 8443) == "https://[::1]:8443/"
    assert local_network.own_address("192.168.1.20") == "192.168.1.20"
    assert local_network.own_address("0.0.0.0") != "0.0.0.0"
    assert "█" in local_network.code("https://192.168.1.20:8443/")


def test_mistakes_are_refused_before_anything_is_exported(bcjax, own_run, tmp_path):
    before = contents(own_run)
    refused(bcjax("app"), "--workdir")
    refused(bcjax("app", f"--workdir={own_run}", "--key=key.pem"), "--certificate")
    none = tmp_path / "none.pem"
    refused(bcjax("app", f"--workdir={own_run}", f"--certificate={none}"), none, "--key=FILE")
    none.write_text("no certificate")
    refused(bcjax("app", f"--workdir={own_run}", f"--certificate={none}"), none, "--key=FILE")
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        refused(bcjax("app", f"--workdir={own_run}", f"--port={port}"), f"Port {port} is taken")
    refused(bcjax("app", f"--workdir={tmp_path / 'no_run'}", "--port=0"), "no_run")
    assert contents(own_run) == before


def test_the_command_serves_what_is_up_to_date_and_ends_in_peace(app):
    """The app of this run was exported before: it is not exported again."""
    before = {path: path.stat().st_mtime_ns for path in app.folder.rglob("*")}
    command = [sys.executable, "-m", "bcjax.main", "app", f"--workdir={app.workdir}", "--port=0",
               "--host=127.0.0.1"]  # fmt: skip
    server = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = ""
    for line in server.stdout:
        said += line
        if line.startswith("Ctrl-C"):
            break
    assert f"found {app.folder}" in said, said + server.stderr.read()
    assert "The browser will warn" in said
    url = next(word for word in said.split() if word.startswith("https://"))
    with urllib.request.urlopen(url, context=ssl._create_unverified_context()) as answer:
        assert answer.read() == (app.folder / "index.html").read_bytes()
    server.send_signal(signal.SIGINT)
    out, err = server.communicate()
    assert (server.returncode, out) == (0, "stopped\n"), err
    assert {path: path.stat().st_mtime_ns for path in app.folder.rglob("*")} == before
