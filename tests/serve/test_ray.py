"""The Ray Serve application, on this machine alone."""

import importlib
import socket

import httpx
import pytest

pytest.importorskip("ray", reason="ray is not installed")
try:
    serve = importlib.import_module("ray.serve")
except ImportError as error:
    pytest.skip(f"Ray Serve is not installed ({error})", allow_module_level=True)

pytestmark = pytest.mark.slow


@pytest.fixture
def local_ray():
    import ray

    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False)
    yield ray
    serve.shutdown()
    ray.shutdown()


def test_it_answers_as_predict_does(local_ray, calibrated, pictures, expected):
    from bcjax.serve.ray import Options, app

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    options = Options(workdir=str(calibrated), backend="jax", cpus=1, token="secret")
    serve.run(app(options), name="bcjax", route_prefix="/")
    headers = {"authorization": "Bearer secret", "content-type": "image/png"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        assert client.get("/v2/models/clinic").status_code == 401
        answer = client.post("/v1/predict", content=pictures[0], headers=headers)
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["predictions"]
    assert found["label"] == expected[0].label
    assert found["probabilities"] == pytest.approx(expected[0].probabilities, abs=1e-5)
