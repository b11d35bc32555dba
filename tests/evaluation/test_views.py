"""Test-time views: which there are, and what they show."""

import jax.numpy as jnp
import numpy as np
import pytest

from bcjax.config import default
from bcjax.data.store import DeviceStore, HostStore
from bcjax.engine import dispatch
from bcjax.engine.loader import Loader, predict_split
from bcjax.engine.step import gather
from bcjax.evaluation import views
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError

SIDE, EXAMPLES, BATCH = 8, 10, 4
ALL = "flip, turn, crop(0.8), scale(0.9)"


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (EXAMPLES, SIDE, SIDE, 3), np.uint8),
        "label": np.arange(EXAMPLES, dtype=np.int32) % 3,
    }


@pytest.fixture(scope="module")
def mesh():
    return meshes.create()


def seen(view, image):
    """What a view makes of pictures on the host."""
    index = jnp.arange(len(image), dtype=jnp.int32)
    return np.asarray(view({"index": index, "image": jnp.asarray(image)}, {})["image"])


def layouts(image):
    """All eight layouts, by numpy: turned clockwise, of the picture and of its mirror image."""
    return [
        np.rot90(one, -quarters, axes=(1, 2))
        for one in (image, image[:, :, ::-1])
        for quarters in range(4)
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("flip", 2), ("turn", 4), ("flip,turn", 8), ("flip, turn, flip", 8), ("crop(0.8)", 6),
        ("scale(0.9)", 2), ("crop", 6), ("flip,crop(0.8)", 12), (ALL, 56),
        ("crop(0.8), scale(1.25)", 6), ("crop(1), scale(1)", 1),
    ],
)  # fmt: skip
def test_views_are_the_product_of_framings_and_layouts_none_twice(text, count):
    found = views.parse(text)
    assert len(found) == len({view.name for view in found}) == count
    assert len({view.matrix for view in found}) == count
    assert found[0].name == "as it is"


def test_of_rectangles_there_are_no_quarter_turns_and_no_pixel_is_lost():
    image = np.random.default_rng(1).integers(0, 256, (2, 8, 12, 3), np.uint8)
    found = views.parse("flip, turn", square=False)
    assert [view.name for view in found] == [
        "as it is", "turned by 180", "mirrored", "mirrored, turned by 180"
    ]  # fmt: skip
    for view, expected in zip(found, layouts(image)[::2], strict=True):
        np.testing.assert_array_equal(seen(view, image), expected)


def test_the_crops_of_a_rectangle_are_its_corners_and_its_middle():
    rows, columns = np.indices((8, 16))
    image = np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)[None]
    shown = {view.name: seen(view, image)[0] for view in views.parse("crop(0.5)", square=False)}
    middles = {"upper left": (2, 4), "upper right": (2, 12), "lower left": (6, 4),
               "lower right": (6, 12), "middle": (4, 8)}  # fmt: skip
    for place, (down, across) in middles.items():
        seen_rows, seen_columns, _ = shown[f"crop(0.5) {place}"].mean((0, 1))
        assert seen_rows == pytest.approx(down - 0.5, abs=0.3)
        assert seen_columns == pytest.approx(across - 0.5, abs=0.3)


def test_flips_and_turns_are_the_dihedral_group_to_the_bit(pictures):
    found = views.parse("flip, turn")
    assert [view.name for view in found] == [
        "as it is", "turned by 90", "turned by 180", "turned by 270",
        "mirrored", "mirrored, turned by 90", "mirrored, turned by 180", "mirrored, turned by 270",
    ]  # fmt: skip
    for view, expected in zip(found, layouts(pictures["image"]), strict=True):
        assert np.array_equal(seen(view, pictures["image"]), expected), view.name


def test_a_crop_shows_its_corner_enlarged():
    """Of a picture of four plain quarters each corner crop of one half is one of them."""
    quarters = np.arange(0, 200, 50, dtype=np.uint8).reshape(2, 2)
    image = np.broadcast_to(np.kron(quarters, np.ones((4, 4), np.uint8))[None, :, :, None],
                            (1, SIDE, SIDE, 3))  # fmt: skip
    shown = {view.name: seen(view, image)[0, :, :, 0] for view in views.parse("crop(0.5)")}
    corners = ["upper left", "upper right", "lower left", "lower right"]
    for corner, level in zip(corners, quarters.ravel(), strict=True):
        inner = shown[f"crop(0.5) {corner}"][1:-1, 1:-1]  # at the edge neighbours mingle
        assert (inner == level).all(), corner
    middle = shown["crop(0.5) middle"]
    assert {int(middle[y, x]) for y in (0, -1) for x in (0, -1)} == set(quarters.ravel().tolist())


def test_a_scale_shrinks_about_the_middle(pictures):
    """At half its size the picture is in the middle: the mean of each two by two pixels."""
    shown = seen(views.parse("scale(0.5)")[1], pictures["image"])
    blocks = pictures["image"].reshape(EXAMPLES, 4, 2, 4, 2, 3).mean(axis=(2, 4))
    assert np.array_equal(shown[:, 2:6, 2:6], np.round(blocks))


@pytest.mark.parametrize("text", ["flip,turn", ALL])
def test_the_average_over_the_group_is_the_same_for_a_turned_picture(pictures, text):
    """Each view of the turned picture is a view of the picture, up to what rounding moves."""
    found = views.parse(text)
    image = pictures["image"]
    weights = np.random.default_rng(1).normal(size=(SIDE, SIDE, 3)) / 255

    def answer(image):
        return np.mean([np.tensordot(seen(view, image), weights, 3) for view in found], axis=0)

    alone = np.tensordot(image, weights, 3)
    for layout in layouts(image)[1:]:
        assert np.abs(np.tensordot(layout, weights, 3) - alone).max() > 0.1
        np.testing.assert_allclose(
            answer(layout), answer(image), atol=1e-9 if text != ALL else 0.02
        )


def test_views_are_the_same_wherever_the_pictures_live(pictures, mesh):
    """And none of them compiles the network again."""
    compiled = []

    def network(variables, batch, pictures):
        compiled.append(batch["image"].shape)
        shown = gather(batch, pictures)
        return shown["image"].reshape(len(shown["label"]), -1).astype(jnp.float32), shown["label"]

    predict = dispatch.compile_predict(network, mesh)
    for store in (HostStore(pictures), DeviceStore(pictures)):
        feed = Loader(store, default().data, mesh)
        for view in views.parse("flip,crop(0.8)")[::5]:
            pixels, labels = predict_split(predict, {}, feed, mesh, BATCH, view)
            assert np.array_equal(labels, pictures["label"])
            shown = seen(view, pictures["image"]).reshape(EXAMPLES, -1)
            assert np.array_equal(pixels, shown)
    assert compiled == [(BATCH, SIDE, SIDE, 3)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flop", "views has 'flop', which is none of flip, turn, crop, scale: did you mean"),
        ("flip,", "views has '', which is none of flip, turn, crop, scale."),
        ("flip(2)", "flip takes no number"),
        ("crop(0.2)", "'crop(0.2)': crop takes a number from 0.5 to 1 (share of the side)."),
        ("scale(two)", "scale takes a number from 0.5 to 2 (times its size)."),
        ("crop(nan)", "crop takes a number"),
        ("crop 0.9", "views has 'crop 0.9', which is none of"),
    ],
)
def test_what_is_no_view_is_refused(text, said):
    with pytest.raises(UserError) as caught:
        views.parse(text)
    assert said in str(caught.value)
