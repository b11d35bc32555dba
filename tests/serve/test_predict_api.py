"""POST /v1/predict: the answers of `predict`, through each road."""

import base64
import json

import pytest

PNG = {"content-type": "image/png"}


def assert_same(answers, expected):
    assert len(answers) == len(expected)
    for answer, prediction in zip(answers, expected, strict=True):
        assert answer["label"] == prediction.label
        assert answer["probability"] == pytest.approx(prediction.probability, abs=1e-5)
        assert answer["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-5)
        assert answer["set"] == list(prediction.set)
        assert answer["uncertain"] == prediction.uncertain
        assert answer["outlier"] == prediction.outlier
        assert answer["distance"] == pytest.approx(prediction.distance, rel=1e-4)
        assert answer["energy"] == pytest.approx(prediction.energy, rel=1e-4)


def test_a_form_with_many_pictures_is_answered_as_predict_does(client, pictures, expected):
    sent = [("pictures", (f"{i}.png", each)) for i, each in enumerate(pictures)]
    page = client.post("/v1/predict", files=sent).json()
    assert_same(page["predictions"], expected)
    assert [each["name"] for each in page["predictions"]] == [f"{i}.png" for i in range(6)]


def test_json_with_names_or_without_is_answered_as_predict_does(client, pictures, expected):
    texts = [base64.b64encode(each).decode() for each in pictures]
    sent = [{"name": f"cell {i}", "data": text} for i, text in enumerate(texts[:3])] + texts[3:]
    page = client.post("/v1/predict", json={"pictures": sent}).json()
    assert_same(page["predictions"], expected)
    names = [each["name"] for each in page["predictions"]]
    assert names == ["cell 0", "cell 1", "cell 2", "image 3", "image 4", "image 5"]


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg; x=y", "application/octet-stream"])
def test_a_picture_as_it_is_is_answered_by_its_bytes_not_by_its_type(
    client, pictures, expected, kind
):
    for picture, prediction in zip(pictures[:2], expected[:2], strict=True):
        answer = client.post("/v1/predict", content=picture, headers={"content-type": kind})
        assert_same(answer.json()["predictions"], [prediction])


def test_an_answer_says_what_answered_and_what_for(client, pictures):
    page = client.post("/v1/predict", content=pictures[0], headers=PNG).json()
    assert page["model"] == page["run"] == "clinic"
    assert page["checkpoint"] == 6
    assert page["calibrated"] is True
    assert "research only" in page["use"]


def test_a_picture_that_cannot_be_read_is_an_entry_among_others_and_a_refusal_alone(
    client, pictures
):
    sent = [("pictures", ("a.png", pictures[0])), ("pictures", ("b.png", b"no picture"))]
    answer = client.post("/v1/predict", files=sent)
    assert answer.status_code == 200
    good, bad = answer.json()["predictions"]
    assert "label" in good
    assert bad.keys() == {"name", "error"}
    assert bad["name"] == "b.png"
    alone = client.post("/v1/predict", content=b"no picture", headers=PNG)
    assert alone.status_code == 422
    assert "cannot be read" in alone.json()["error"]


def test_a_run_is_asked_by_its_name(serve, runs, pictures):
    client = serve()
    ask = lambda name: client.post(  # noqa: E731
        "/v1/predict", params={"model": name}, content=pictures[0], headers=PNG
    )
    assert ask("clinic").status_code == 200
    assert ask("other").status_code == 404
    assert "clinic" in ask("other").json()["error"]
    (about,) = client.get("/v1/models").json()["models"]
    assert (about["height"], about["width"], about["network"]) == (32, 32, "elu_cnn")
    assert len(about["classes"]) == 8


def test_an_uncalibrated_run_has_no_sets(serve, own_run, pictures):
    import shutil

    from bcjax.serve.served_run import ServedRun
    from bcjax.serve.settings import Settings

    shutil.rmtree(own_run / "calibration", ignore_errors=True)
    client = serve([ServedRun("plain", own_run, "latest", "jax", Settings(max_batch=1))])
    page = client.post("/v1/predict", content=pictures[0], headers=PNG).json()
    assert page["calibrated"] is False
    assert page["predictions"][0]["set"] is page["predictions"][0]["outlier"] is None
    outputs = client.get("/v2/models/plain").json()["outputs"]
    assert [each["name"] for each in outputs] == ["probabilities", "label"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 400),
        (b"1" * 5000, 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"pictures": {}}', 422),
        (b'{"pictures": []}', 422),
        (b'{"pictures": [1]}', 422),
        (b'{"pictures": [null]}', 422),
        (b'{"pictures": ["not base64!"]}', 422),
        (b'{"pictures": [{"name": 1, "data": []}]}', 422),
        (b'{"pictures": ["\\u00e9"]}', 422),
        (b'{"pictures": [""]}', 422),
    ],
)
def test_json_that_holds_no_picture_is_refused(client, body, status):
    answer = client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_name_that_no_text_can_hold_is_answered(client, pictures):
    text = base64.b64encode(pictures[0]).decode()
    body = json.dumps({"pictures": [{"name": "\ud800", "data": text}]})
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/predict", content=body, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["name"] == "\ud800"


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "", "multipart/mixed"])
def test_a_body_of_another_type_is_refused(client, pictures, kind):
    answer = client.post("/v1/predict", content=pictures[0], headers={"content-type": kind})
    assert answer.status_code == 415
    assert "Content-Type" in answer.json()["error"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=a", b"--b\r\n\r\n"),
        ("multipart/form-data; boundary=a", b""),
        ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data\r\n\r\nx\r\n"),
        (
            "multipart/form-data; boundary=a; charset=nothing",
            b'--a\r\nContent-Disposition: form-data; name="\xff"; filename="\xff"\r\n\r\n\r\n--a--',
        ),
        ("multipart/form-data; boundary=" + "a" * 5000, b"x"),
    ],
)
def test_a_broken_form_is_refused(client, kind, body):
    answer = client.post("/v1/predict", content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


def test_a_form_without_a_file_is_refused(client):
    answer = client.post("/v1/predict", files={"pictures": (None, "text")})
    assert answer.status_code == 422
    assert "no picture" in answer.json()["error"]
