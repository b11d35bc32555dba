"""The Open Inference Protocol: its pages and tensors, as its clients expect them."""

import base64
import json
import struct

import numpy as np
import pytest

import bcjax as library

INFER = "/v2/models/clinic/infer"
KINDS = {"FP32": float, "BYTES": str, "BOOL": bool}


@pytest.fixture(scope="module")
def pixels(calibrated, pictures):
    return library.load(calibrated).preprocess(pictures)


def tensor(pixels, **changes):
    page = {"name": "images", "datatype": "UINT8", "shape": list(pixels.shape)}
    return page | {"data": pixels.ravel().tolist()} | changes


def by_name(page):
    return {each["name"]: each for each in page["outputs"]}


def assert_same(page, expected):
    found = by_name(page)
    for each in found.values():
        assert len(each["data"]) == np.prod(each["shape"])
        assert all(type(value) is KINDS[each["datatype"]] for value in each["data"])
    probabilities = np.reshape(found["probabilities"]["data"], found["probabilities"]["shape"])
    wanted = [list(each.probabilities.values()) for each in expected]
    np.testing.assert_allclose(probabilities, wanted, atol=1e-5)
    assert found["label"]["data"] == [each.label for each in expected]
    sets = np.reshape(found["set"]["data"], found["set"]["shape"])
    assert [
        tuple(np.array(list(each.probabilities))[row])
        for each, row in zip(expected, sets, strict=True)
    ] == [each.set for each in expected]
    assert found["outlier"]["data"] == [each.outlier for each in expected]
    np.testing.assert_allclose(found["distance"]["data"], [e.distance for e in expected], rtol=1e-4)


def test_the_server_and_its_models_describe_themselves(client):
    server = client.get("/v2").json()
    assert server["name"] == "bcjax"
    assert server["version"] == library.__version__
    about = client.get("/v2/models/clinic").json()
    assert about == client.get("/v2/models/clinic/versions/6").json()
    assert about["versions"] == ["6"]
    (images,) = about["inputs"]
    assert images == {"name": "images", "datatype": "UINT8", "shape": [-1, 32, 32, 3]}
    assert by_name(about)["probabilities"]["shape"] == [-1, 8]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/clinic/ready",
        "/v2/models/clinic/versions/6/ready",
    ],
)
def test_it_is_alive_and_ready(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert True in answer.json().values()


def test_what_is_not_there_is_not_found(client):
    for path in ("/v2/models/x", "/v2/models/x/ready", "/v2/models/clinic/versions/7"):
        assert client.get(path).status_code == 404
        assert client.get(path).json()["error"]
    assert client.post("/v2/models/x/infer", json={}).status_code == 404


def test_pixels_are_answered_as_predict_does(client, pixels, expected):
    answer = client.post(INFER, json={"id": "a", "inputs": [tensor(pixels)]})
    assert answer.status_code == 200
    page = answer.json()
    assert (page["model_name"], page["model_version"], page["id"]) == ("clinic", "6", "a")
    assert page["parameters"]["classes"].split(",") == list(expected[0].probabilities)
    assert_same(page, expected)
    versioned = client.post(
        "/v2/models/clinic/versions/6/infer", json={"inputs": [tensor(pixels)]}
    ).json()
    assert "id" not in versioned
    assert_same(versioned, expected)


def test_nested_lists_are_tensors_too(client, pixels, expected):
    nested = tensor(pixels, data=pixels.tolist())
    assert_same(client.post(INFER, json={"inputs": [nested]}).json(), expected)


def test_files_of_pictures_are_answered_as_predict_does(client, pictures, expected):
    data = [base64.b64encode(each).decode() for each in pictures]
    files = {"name": "images", "datatype": "BYTES", "shape": [len(data)], "data": data}
    assert_same(client.post(INFER, json={"inputs": [files]}).json(), expected)


@pytest.mark.parametrize("datatype", ["UINT8", "BYTES"])
def test_binary_tensors_follow_the_json(client, pixels, pictures, expected, datatype):
    binary, shape = pixels.tobytes(), list(pixels.shape)
    if datatype == "BYTES":
        binary = b"".join(struct.pack("<I", len(each)) + each for each in pictures)
        shape = [len(pictures)]
    about = {"name": "images", "datatype": datatype, "shape": shape}
    about["parameters"] = {"binary_data_size": len(binary)}
    head = json.dumps({"inputs": [about]}).encode()
    headers = {
        "inference-header-content-length": str(len(head)),
        "content-type": "application/octet-stream",
    }
    answer = client.post(INFER, content=head + binary, headers=headers)
    assert_same(answer.json(), expected)
    cut = client.post(INFER, content=head + binary[:-1], headers=headers)
    assert cut.status_code == 400
    headers["inference-header-content-length"] = str(len(head) + len(binary) + 1)
    assert client.post(INFER, content=head + binary, headers=headers).status_code == 400


def test_outputs_are_chosen_by_name(client, pixels):
    asked = {"inputs": [tensor(pixels[:1])], "outputs": [{"name": "label"}]}
    assert list(by_name(client.post(INFER, json=asked).json())) == ["label"]
    for outputs in ([{"name": "other"}], [{}], ["label"], {"name": "label"}, 1):
        assert client.post(INFER, json=asked | {"outputs": outputs}).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"datatype": "FP32"},
        {"datatype": None},
        {"datatype": []},
        {"shape": None},
        {"shape": [1, 32, 32]},
        {"shape": [2, 32, 32, 3]},
        {"shape": [-1, 32, 32, 3]},
        {"shape": [0, 32, 32, 3]},
        {"shape": [True, 32, 32, 3]},
        {"shape": [10**30, 32, 32, 3]},
        {"data": None},
        {"data": []},
        {"data": [0.5] * 3072},
        {"data": [256] * 3072},
        {"data": [-1] * 3072},
        {"data": [10**30] * 3072},
        {"data": ["1"] * 3072},
        {"data": [[1], [1, 2]]},
        {"data": {"a": 1}},
        {"datatype": "BYTES"},
        {"datatype": "BYTES", "data": ["AAAA"], "shape": [2]},
        {"datatype": "BYTES", "data": [], "shape": [0]},
        {"parameters": {"binary_data_size": 5}},
        {"parameters": {"binary_data_size": "x"}},
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(client, pixels, changes):
    answer = client.post(INFER, json={"inputs": [tensor(pixels[:1], **changes)]})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


@pytest.mark.parametrize("page", [{}, [], 1, {"inputs": []}, {"inputs": [1]}, {"inputs": {}}])
def test_a_request_without_its_tensor_is_refused(client, page):
    assert client.post(INFER, json=page).status_code == 400


def test_one_file_that_cannot_be_read_refuses_all(client, pictures):
    data = [base64.b64encode(each).decode() for each in (pictures[0], b"no picture")]
    files = {"name": "images", "datatype": "BYTES", "shape": [2], "data": data}
    answer = client.post(INFER, json={"inputs": [files]})
    assert answer.status_code == 422
    assert "image 1" in answer.json()["error"]
