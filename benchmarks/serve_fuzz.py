"""Broken and hostile requests for `benchmarks/serve.py`: the same ones each time."""

import base64
import collections
import contextlib
import http.client
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

SETTLED = 0.2  # of the requests, after which memory must be flat
_KINDS = ("image/png", "image/jpeg", "application/octet-stream", "application/json", "text/plain",
          "multipart/form-data; boundary=b", "multipart/form-data", "")  # fmt: skip
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")
_LARGEST = 2_000_000  # bytes of a body, twice the limit of the service


def run(port: int, model: str, count: int, rss: Callable[[], int]) -> dict[str, Any]:
    """Sends requests to a service on 127.0.0.1, one after the other.

    Args:
      port: Its port.
      model: The name that it serves.
      count: How many, half of each kind.
      rss: Returns the bytes of the service's memory.

    Returns:
      How many requests ended with which status, and the memory on the way.
    """
    statuses: collections.Counter[str] = collections.Counter()
    memory: list[int] = []
    settled = 0
    for position, status in enumerate(_statuses(port, model, count)):
        statuses[status] += 1
        if position + 1 == int(SETTLED * count):
            settled = rss()
        if (position + 1) % max(count // 20, 1) == 0:
            memory.append(rss())
    end = rss()
    return {
        "requests": sum(statuses.values()),
        "statuses": dict(sorted(statuses.items())),
        "server_errors": sum(n for status, n in statuses.items() if status.startswith("5")),
        "cut_off": statuses["none"],
        "settled": int(SETTLED * count),
        "rss_settled": settled,
        "rss_end": end,
        "growth": end / settled - 1,
        "rss": memory,
    }


def _statuses(port: int, model: str, count: int) -> Iterator[str]:
    """Both kinds in turn, so that memory settles for both."""
    hostile = _hostile(port, model, count - count // 2)
    described = _described(port, model, count // 2)
    for pair in zip(hostile, described, strict=True):
        yield from pair


def _hostile(port: int, model: str, count: int) -> Iterator[str]:
    rng = random.Random(0)
    pictures = _pictures()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for _ in range(count):
        path, headers, body = _request(rng, model, pictures)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            yield str(answer.status)
        except (http.client.HTTPException, OSError):
            yield "none"
            connection.close()
    connection.close()


def _request(rng: random.Random, model: str, pictures: list[bytes]) -> tuple[str, dict, bytes]:
    picture = _broken(rng, rng.choice(pictures))
    infer = f"/v2/models/{model}/infer"
    kind = rng.randrange(8)
    if kind <= 2:
        return "/v1/predict", {"Content-Type": rng.choice(_KINDS)}, picture
    if kind <= 4:
        return (
            "/v1/predict",
            {"Content-Type": "multipart/form-data; boundary=b"},
            _form(rng, picture),
        )
    if kind == 5:
        text = json.dumps({"pictures": [base64.b64encode(picture).decode()] * rng.randrange(3)})
        body = text.encode() if rng.random() < 0.5 else _broken(rng, text.encode())
        return "/v1/predict", {"Content-Type": "application/json"}, body
    if kind == 6:
        return infer, {"Content-Type": "application/json"}, _tensor(rng, picture)
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 32, 32, 3]}
    tensor["parameters"] = {"binary_data_size": 3072}
    head = json.dumps({"inputs": [tensor]}).encode()
    length = rng.choice([len(head), len(head) + 1, 0, 10**20, -1, "x"])
    headers = {"Inference-Header-Content-Length": str(length)}
    return infer, headers, head + rng.randbytes(rng.choice([3072, 3071, 0]))


def _broken(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([0, 1, 3, 30])):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    if rng.random() < 0.3:
        changed = changed[: rng.randrange(len(changed) + 1)]
    if rng.random() < 0.01:
        changed += bytes(rng.randrange(_LARGEST))
    return bytes(changed)


def _form(rng: random.Random, picture: bytes) -> bytes:
    part = (
        b'--b\r\nContent-Disposition: form-data; name="p"; filename="a"\r\n\r\n' + picture + b"\r\n"
    )
    form = part * rng.choice([0, 1, 1, 2, 5]) + b"--b--\r\n"
    if rng.random() < 0.02:
        form = part[: len(part) - len(picture)] * 10_000 + b"--b--\r\n"
    return form if rng.random() < 0.5 else _broken(rng, form)


def _tensor(rng: random.Random, picture: bytes) -> bytes:
    data: Any = rng.choice([
        [rng.randrange(256)] * 3072, [rng.randrange(-9, 999)] * 3072, [0.5] * 3072, [], "x", None,
        [base64.b64encode(picture).decode()], [[[1]], 2], {"a": 1},
    ])  # fmt: skip
    shape = rng.choice([[1, 32, 32, 3], [1], [0], [-1, 32, 32, 3], [1, 10**18, 32, 3], None, [[1]]])
    datatype = rng.choice(["UINT8", "BYTES", "FP32", None, 1, []])
    tensor = {"name": "images", "datatype": datatype, "shape": shape, "data": data}
    outputs = rng.choice([None, [], [{"name": "label"}], [{"name": "x"}], 1, [1]])
    return json.dumps(
        {"inputs": [tensor] * rng.choice([1, 1, 1, 2, 0]), "outputs": outputs}
    ).encode()


def _pictures() -> list[bytes]:
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    found = []
    for name in _FORMATS:
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, name)
        found.append(buffer.getvalue())
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    return [*found, _bomb(50_000, 50_000), _bomb(6_000, 6_000), svg, b"text", b"", b"\xff\xd8\xff"]


def _bomb(width: int, height: int) -> bytes:
    """A PNG whose head says more pixels than anybody may send."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
    return b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b"")


def _described(port: int, model: str, count: int) -> Iterator[str]:
    """Requests that schemathesis makes of the service's OpenAPI page."""
    import requests
    import schemathesis

    url = f"http://127.0.0.1:{port}"
    session = requests.Session()
    session.trust_env = False
    page = session.get(f"{url}/openapi.json", timeout=60).json()
    there = {"name": [model], "model": [model], "version": ["0"]}
    for methods in page["paths"].values():
        for road in methods.values():
            for parameter in road.get("parameters", ()):
                if parameter["name"] in there:  # else nearly all would end with 404
                    parameter["schema"] = {"enum": there[parameter["name"]]}
    roads = [each.ok() for each in schemathesis.openapi.from_dict(page).get_all_operations()]
    roads = [road for road in roads if road.method.upper() == "POST"] * 4 + roads
    left, seed = count, 0
    while left:
        seed += 1
        for road in roads:
            for mode in schemathesis.GenerationMode:
                found = _asked(road, mode, seed, {"base_url": url, "session": session})[:left]
                yield from found
                left -= len(found)


def _asked(road: Any, mode: Any, seed: int, call: dict[str, Any]) -> list[str]:
    """Returns the statuses of ten requests to a road."""
    import hypothesis

    found: list[str] = []

    @hypothesis.settings(
        max_examples=10,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.seed(seed)
    @hypothesis.given(case=road.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        found.append(str(case.call(timeout=120, **call).status_code))

    with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing can be wrong about it
        ask()
    return found
