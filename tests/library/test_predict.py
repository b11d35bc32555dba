"""`bcjax.load(...).predict(...)` takes images as people have them, and answers all alike."""

import io
import json

import cv2
import jax
import numpy as np
import pytest
import ready_runs
from PIL import Image

import bcjax
from bcjax.data.sources import synthetic
from bcjax.evaluation.images import collect
from bcjax.runtime.errors import UserError

SIDE = ready_runs.SIZE


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    config = ready_runs.settled()
    variables = ready_runs.noisy(ready_runs.variables_of(config), 0.3, 0)
    return ready_runs.write(config, variables, tmp_path_factory.mktemp("ready") / "run")


@pytest.fixture(scope="module")
def net(workdir):
    return bcjax.load(workdir)


def drawing(index=0, size=40):
    return synthetic.draw(3, index, size=size).image


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def same(one, *others):
    for other in others:
        assert len(one) == len(other)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize("batch_size", [0, -1, float("nan"), 1.5, "8", True, None])
def test_a_batch_that_is_none_is_refused(net, batch_size):
    for ask in (net.predict, net.embed):
        with pytest.raises(UserError, match=r"batch_size is .*(a whole number|at least 1)"):
            ask(drawing(), batch_size=batch_size)


def test_a_file_its_bytes_its_pil_image_and_its_array_are_answered_alike(net, tmp_path):
    pixels = drawing()
    path = tmp_path / "cell.png"
    Image.fromarray(pixels).save(path)
    predictions = net.predict(path)
    with Image.open(path) as opened:
        others = [str(path), path.read_bytes(), opened, pixels, pixels[None], tmp_path, [[pixels]]]
        same(predictions, *(net.predict(other) for other in others))
    assert predictions.names == (str(path),)
    assert net.predict([pixels, pixels]).names == ("image 0", "image 1")
    assert len(predictions) == 1
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1)


def modes():
    rng = np.random.default_rng(0)
    colour, grey = drawing(), drawing()[..., 1]
    alpha = rng.integers(0, 256, (40, 40, 1), dtype=np.uint8)
    return {
        "grey": (Image.fromarray(grey), grey),
        "grey with an axis": (Image.fromarray(grey), grey[..., None]),
        "16-bit grey": (
            Image.fromarray(grey.astype(np.uint16) * 257),
            grey.astype(np.uint16) * 257,
        ),
        "transparent": (
            Image.fromarray(np.concatenate([colour, alpha], -1)),
            np.concatenate([colour, alpha], -1),
        ),
        "palette": (Image.fromarray(colour).quantize(16), None),
        "grey and transparent": (
            Image.fromarray(np.concatenate([grey[..., None], alpha], -1)),
            None,
        ),
    }


@pytest.mark.parametrize("mode", modes())
def test_every_mode_is_treated_as_its_file_is(net, mode):
    image, array = modes()[mode]
    predictions = net.predict(png(image))
    same(predictions, net.predict(image))
    if array is not None:
        same(predictions, net.predict(array))


def test_a_turned_photograph_is_turned_as_its_file_is(net, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(drawing()).save(path, exif=exif)
    with Image.open(path) as opened:
        same(net.predict(path), net.predict(opened), net.predict(np.rot90(drawing(), -1)))


def test_many_of_any_size_are_answered_in_their_order_whatever_the_batch(net):
    images = [drawing(i, size) for i, size in enumerate((20, 33, 16, 64, 48))]
    predictions = net.predict(images, batch_size=2)
    assert predictions.names == tuple(f"image {i}" for i in range(5))
    for position, image in enumerate(images):
        alone = net.predict(image)
        np.testing.assert_allclose(
            alone.probabilities[0], predictions.probabilities[position], rtol=1e-4
        )
    np.testing.assert_array_equal(predictions[1:3].probabilities, predictions.probabilities[1:3])
    assert predictions[1:3].names == ("image 1", "image 2")
    assert [each.label for each in predictions] == list(predictions.labels)
    assert len(net.predict([])) == 0


def test_damaged_images_are_listed_with_what_is_wrong(net, tmp_path):
    (tmp_path / "bad.png").write_bytes(png(Image.fromarray(drawing()))[:200])
    Image.fromarray(drawing()).save(tmp_path / "good.png")
    predictions = net.predict([tmp_path, b"no picture"])
    assert predictions.names == (str(tmp_path / "good.png"),)
    assert [each.name for each in predictions.unreadable] == [str(tmp_path / "bad.png"), "image 2"]
    assert "not a picture" in predictions.unreadable[1].reason
    assert "2 unreadable" in repr(predictions)
    with pytest.raises(bcjax.UserError, match="image 0 cannot be read"):
        net.preprocess(b"no picture")


def test_images_larger_than_the_bound_are_listed_with_what_allows_them(net, workdir, tmp_path):
    large = Image.new("1", (10_001, 10_000))
    large.save(tmp_path / "large.png")
    predictions = net.predict([tmp_path, large, drawing()])
    assert predictions.names == ("image 2",)
    for each in predictions.unreadable:
        assert "10,001 x 10,000 pixels are more than data.max_pixels=100000000" in each.reason
        assert "set data.max_pixels=100010000" in each.reason
    small = bcjax.load(workdir, max_pixels=1599)
    assert len(small.predict(drawing(size=40))) == 0
    assert len(small.predict(drawing(size=39))) == 1


def test_images_of_several_pages_are_answered_by_the_first_and_counted_once(net, tmp_path, caplog):
    pages = [Image.fromarray(drawing(i)) for i in range(3)]
    for name in "ab":
        pages[0].save(tmp_path / f"{name}.tif", save_all=True, append_images=pages[1:])
    same(net.predict(tmp_path), net.predict([drawing(0), drawing(0)]))
    assert [record.getMessage() for record in caplog.records] == [
        "2 pictures have several pages or frames, of which only the first is used "
        f"({tmp_path / 'a.tif'}, {tmp_path / 'b.tif'})."
    ]


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ("nowhere.png", "There is no picture or folder nowhere.png"),
        (np.zeros((4, 4), np.float32), "An array of float32 is no image"),
        (np.zeros((4, 4, 2), np.uint8), r"An array of shape \(4, 4, 2\) is no image"),
        (np.zeros((4, 0, 3), np.uint8), "is no image"),
        (7, "7 is no image: give a path"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(net, images, sentence):
    with pytest.raises(bcjax.UserError, match=sentence):
        net.predict(images)


def test_arrays_are_read_when_their_turn_comes():
    """So that a folder of a million files, or a generator, does not fill the memory."""
    ((first, second),) = [collect(drawing(i) for i in range(2))]
    assert (first.name, second.name) == ("image 0", "image 1")
    assert first.read().startswith(b"\x89PNG")


def test_what_is_predicted_can_be_taken_elsewhere(net, monkeypatch):
    predictions = net.predict([drawing(0), drawing(1)])
    page = json.loads(json.dumps(predictions.to_dict()))
    assert page["classes"] == list(synthetic.CLASSES)
    assert page["predictions"][0]["label"] == predictions.labels[0]
    html = predictions._repr_html_()
    assert html.startswith("<table>")
    assert html.count("<tr>") == 3
    table = predictions.to_pandas()
    assert list(table["label"]) == list(predictions.labels)
    np.testing.assert_array_equal(table[list(synthetic.CLASSES)], predictions.probabilities)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(bcjax.UserError, match=r"pip install 'bcjax\[pandas\]'"):
        predictions.to_pandas()


def test_logits_and_features_are_functions_for_jax(net):
    pixels = net.preprocess([drawing(i) for i in range(3)])
    assert pixels.shape == (3, SIDE, SIDE, 3)
    logits = jax.jit(net.logits)(pixels)
    predictions = net.predict([drawing(i) for i in range(3)])
    np.testing.assert_allclose(logits, predictions.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        jax.nn.softmax(logits), predictions.probabilities, rtol=1e-4, atol=1e-5
    )
    features = jax.jit(net.features)(pixels)
    embeddings = net.embed([drawing(i) for i in range(3)])
    np.testing.assert_allclose(features, embeddings.features, rtol=1e-4, atol=1e-5)
    assert embeddings.names == predictions.names
    assert len(embeddings) == 3
    with pytest.raises(bcjax.UserError, match=r"net\.preprocess"):
        net.logits(pixels.astype(np.float32))
    with pytest.raises(bcjax.UserError, match=r"net\.preprocess"):
        net.logits(pixels[0])


def test_a_loaded_network_says_what_it_is(net, workdir):
    assert net.classes == synthetic.CLASSES
    assert net.config.model.name == "custom_cnn"
    assert net.calibration is None
    assert str(workdir) in repr(net)
    assert bcjax.load(str(workdir), checkpoint=net.step).step == net.step
    with pytest.raises(bcjax.UserError, match="holds no checkpoint '99'"):
        bcjax.load(workdir, checkpoint=99)
    with pytest.raises(bcjax.UserError, match="holds no run"):
        bcjax.load(workdir / "nowhere")


def test_an_answer_is_explained(net):
    explanation = net.explain(drawing(), methods=["grad-cam", "occlusion"], target="monocyte")
    assert set(explanation.maps) == {"grad-cam", "occlusion"}
    assert explanation.maps["occlusion"].shape == (SIDE, SIDE)
    assert explanation.label == net.predict(drawing()).labels[0]
    assert explanation.classes[explanation.target] == "monocyte"
    decoded = cv2.imdecode(np.frombuffer(explanation._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    assert min(decoded.shape[:2]) > 100
    assert "monocyte" in repr(explanation)
    with pytest.raises(bcjax.UserError, match="One image is explained at a time: these are 2"):
        net.explain([drawing(), drawing()])
    with pytest.raises(bcjax.UserError, match="did you mean 'grad-cam'"):
        net.explain(drawing(), methods=["grad-can"])
