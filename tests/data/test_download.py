"""BloodMNIST is downloaded once, resumed where it broke off, and refused if it is another file."""

import hashlib
import http.server
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from picture_sources import settings

from bcjax.data import preparation
from bcjax.data.sources import download, open_source
from bcjax.runtime.errors import UserError


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files` with ranges; breaks off after `server.cuts` bytes while it has some."""

    def do_GET(self):
        content = self.server.files.get(self.path.lstrip("/"))
        if content is None or self.server.status:
            self.send_error(self.server.status or 404)
            return
        asked = self.headers["Range"]
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=")[:-1]) if asked and self.server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        part = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: self.server.cuts.pop(0)] if self.server.cuts else part)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.asked, server.cuts = {}, [], []
        server.status, server.ranges = 0, True
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        monkeypatch.setenv("BCJAX_MEDMNIST_URL", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """A small BloodMNIST on the server, as if MedMNIST had published it; returns its bytes."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (16, 28, 28, 3), np.uint8)
        arrays[f"{split}_labels"] = np.arange(16)[:, None] % 8
    np.savez(tmp_path / "made.npz", **arrays)
    content = (tmp_path / "made.npz").read_bytes()
    register(monkeypatch, content)
    server.files["bloodmnist.npz"] = server.files["bloodmnist_64.npz"] = content
    return content


def register(monkeypatch, content, **changes):
    md5, sha256 = (hashlib.new(name, content).hexdigest() for name in ("md5", "sha256"))
    known = download.PublishedFile(md5, sha256)._replace(**changes)
    monkeypatch.setitem(download.FILES, "bloodmnist", known)
    monkeypatch.setitem(download.FILES, "bloodmnist_64", download.PublishedFile(md5))


def left(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("name", ["bloodmnist", "bloodmnist_64"])
def test_it_is_downloaded_by_name_once_and_prepared(published, server, tmp_path, name):
    data = settings(name, cache_dir=str(tmp_path / "cache"))
    prepared = preparation.prepare(data)
    assert {split: sum(counts) for split, counts in prepared.counts.items()} == {
        "train": 16, "val": 16, "test": 16,
    }  # fmt: skip
    assert prepared.classes[3] == "ig"
    folder = tmp_path / "cache" / "downloads"
    assert left(folder) == [f"{name}.npz"]
    assert (folder / f"{name}.npz").read_bytes() == published
    assert preparation.prepare(data).path == prepared.path
    assert server.asked == [None]


def test_the_environment_names_the_cache(published, tmp_path, monkeypatch):
    monkeypatch.setenv("BCJAX_CACHE", str(tmp_path / "elsewhere"))
    preparation.read_source(settings("bloodmnist"))
    assert left(tmp_path / "elsewhere" / "downloads") == ["bloodmnist.npz"]


def test_connections_that_break_off_are_taken_up_again(published, server, tmp_path):
    server.cuts = [1000, 0, 2000]
    path = download.fetch("bloodmnist", tmp_path / "in")
    assert path.read_bytes() == published
    assert server.asked == [None, "bytes=1000-", "bytes=1000-", "bytes=3000-"]


def test_what_has_come_is_kept_for_the_next_time(published, server, tmp_path):
    server.cuts = [1000] + [0] * 4
    with pytest.raises(UserError, match=r"cannot be downloaded .*broke off.* repeat the command"):
        download.fetch("bloodmnist", tmp_path / "in")
    partial = tmp_path / "in" / "bloodmnist.npz.partial"
    assert partial.read_bytes() == published[:1000]
    server.asked.clear()
    assert download.fetch("bloodmnist", tmp_path / "in").read_bytes() == published
    assert server.asked == ["bytes=1000-"]
    assert not partial.exists()


def test_a_download_killed_before_its_check_is_checked(published, server, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bloodmnist.npz.partial").write_bytes(published)
    assert download.fetch("bloodmnist", tmp_path / "in").read_bytes() == published


def test_a_server_without_ranges_sends_all_again(published, server, tmp_path):
    server.ranges, server.cuts = False, [1000]
    assert download.fetch("bloodmnist", tmp_path / "in").read_bytes() == published
    assert server.asked == [None, "bytes=1000-"]


@pytest.mark.parametrize(
    "changes", [{"md5": "0" * 32}, {"sha256": "0" * 64}], ids=("md5", "sha256")
)
def test_another_file_than_was_published_is_refused_and_not_kept(
    published, tmp_path, monkeypatch, changes
):
    register(monkeypatch, published, **changes)
    with pytest.raises(UserError, match="is not the file that MedMNIST published") as caught:
        download.fetch("bloodmnist", tmp_path / "in")
    assert "\n" not in str(caught.value)
    assert left(tmp_path / "in") == []


def test_a_partial_file_of_something_else_does_not_survive(published, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bloodmnist.npz.partial").write_bytes(b"something else")
    with pytest.raises(UserError, match="is not the file that MedMNIST published"):
        download.fetch("bloodmnist", tmp_path / "in")
    assert download.fetch("bloodmnist", tmp_path / "in").read_bytes() == published


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_that_refuses_is_named(published, server, tmp_path, status):
    server.status = status
    with pytest.raises(
        UserError, match=f"127.0.0.1.*bloodmnist.npz cannot be downloaded.*{status}"
    ):
        open_source("bloodmnist", downloads=tmp_path / "in")
    assert left(tmp_path / "in") == []


def test_several_at_once_download_it_once(published, server, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        paths = {*pool.map(lambda _: download.fetch("bloodmnist", tmp_path / "in"), range(4))}
    assert len(paths) == len(server.asked) == 1


def test_what_is_registered_is_what_medmnist_publishes():
    assert set(download.FILES) == {"bloodmnist", *(f"bloodmnist_{n}" for n in (64, 128, 224))}
    for known in download.FILES.values():
        assert len(bytes.fromhex(known.md5)) == 16
    assert len({known.md5 for known in download.FILES.values()}) == 4
