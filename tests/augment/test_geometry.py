from functools import partial

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import interpolate, ndimage

from bcjax.augment import geometry
from bcjax.augment.geometry import warp

H, W = SHAPE = 12, 16
IMAGE = np.random.default_rng(0).random((H, W, 3), np.float32)
SQUARE = IMAGE[:, :H]
KEYS = jax.random.split(jax.random.key(0), 2000)
IDENTITY = np.eye(2, 3, dtype=np.float32)
MATRICES = {name: op for name, op in geometry.OPS.items() if op.geometric}


def compiled_matrix(op):
    return jax.jit(lambda key, strength, **options: op.apply(key, strength, SHAPE, **options))


# One program each, for all strengths.
MATRIX = {name: compiled_matrix(op) for name, op in MATRICES.items()}
FLIP = jax.jit(lambda key: geometry.flip(key, np.float32(1), (H, H)))
TURN = jax.jit(lambda key: geometry.turn(key, np.float32(1), (H, H)))
WARP = jax.jit(warp)
COMPOSE = jax.jit(geometry.compose)
ELASTIC = jax.jit(geometry.elastic)
MANY_ELASTIC = jax.jit(jax.vmap(geometry.elastic, (0, None, None)))


def matrix_of(name, strength, seed=0, **options):
    return MATRIX[name](jax.random.key(seed), np.float32(strength), **options)


def many(name, strength, shape=SHAPE, **options):
    """Returns the matrices of 2,000 draws."""
    apply = partial(geometry.OPS[name].apply, shape=shape, **options)
    draw = jax.jit(jax.vmap(lambda key: apply(key, np.float32(strength))))
    return np.asarray(draw(KEYS))


def places(matrix):
    """Returns where each pixel of the result lies in the picture: rows, columns; float64."""
    rows, columns = np.indices(SHAPE).astype(np.float64)
    x, y = columns - (W - 1) / 2, rows - (H - 1) / 2
    (a, b, c), (d, e, f) = np.asarray(matrix, np.float64)
    return np.stack([d * x + e * y + f + (H - 1) / 2, a * x + b * y + c + (W - 1) / 2])


def looked_up(matrix):
    """What SciPy makes of it."""
    at = places(matrix)
    return np.stack(
        [ndimage.map_coordinates(IMAGE[..., c], at, order=1, mode="mirror") for c in range(3)],
        axis=-1,
    )


slopes, shifts = st.floats(-2, 2, width=32), st.floats(-60, 60, width=32)
matrices = st.tuples(slopes, slopes, shifts, slopes, slopes, shifts).map(
    lambda numbers: np.array(numbers, np.float32).reshape(2, 3)
)


@given(matrices)
def test_a_warp_is_scipys_mirrored_bilinear_lookup(matrix):
    np.testing.assert_allclose(WARP(IMAGE, matrix), looked_up(matrix), atol=5e-5)


@given(matrices, st.integers(0, 2**32 - 1))
def test_a_warp_makes_no_new_extremes(matrix, seed):
    extreme = np.random.default_rng(seed).integers(0, 2, IMAGE.shape).astype(np.float32)
    warped = np.asarray(WARP(extreme, matrix))
    assert warped.min() >= 0
    assert warped.max() <= 1
    assert (np.asarray(WARP(np.ones_like(IMAGE), matrix)) == 1).all()


def test_a_picture_one_pixel_wide_is_mirrored_to_itself():
    shifted = WARP(IMAGE[:, :1], np.array([[1, 0, 7.3], [0, 1, 0]], np.float32))
    np.testing.assert_array_equal(shifted, IMAGE[:, :1])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_identity_flips_and_turns_are_exact(dtype):
    image = SQUARE.astype(dtype)
    identity = WARP(image, IDENTITY)
    assert identity.dtype == dtype
    np.testing.assert_array_equal(identity, image)
    for key in KEYS[:16]:
        np.testing.assert_array_equal(WARP(image, FLIP(key)), geometry.flip_pixels(key, image))
        np.testing.assert_array_equal(WARP(image, TURN(key)), geometry.turn_pixels(key, image))


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("seed", range(3))
def test_at_strength_0_the_matrix_is_the_identity_to_the_bit(name, seed):
    np.testing.assert_array_equal(matrix_of(name, 0, seed), IDENTITY)


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_are_the_same_alone_and_mapped_and_compiled_once(name):
    op, key, traces = geometry.OPS[name], jax.random.key(0), []

    @jax.jit
    def matrix(key, strength, **options):
        traces.append(strength)
        return op.apply(key, strength, SHAPE, **options)

    seen = []
    for share in (0.25, 0.75):
        strength = np.float32(op.magnitude.high * share)
        options = {
            option: np.float32(range.low + share * (range.high - range.low))
            for option, range in op.options.items()
        }
        seen.append(matrix(key, strength, **options))
        mapped = jax.vmap(partial(matrix, **options))(key[None], strength[None])[0]
        assert mapped.dtype == seen[-1].dtype == jnp.float32
        np.testing.assert_allclose(mapped, seen[-1], rtol=1e-5, atol=1e-6)
    assert len(traces) == 1
    assert name in ("flip", "turn") or (seen[0] != seen[1]).any()


def test_pictures_are_warped_alike_alone_and_mapped_and_compiled_once():
    traces = []

    @jax.jit
    def one(image, matrix):
        traces.append(matrix)
        return warp(image, matrix)

    turned = [np.asarray(matrix_of("rotate", degrees)) for degrees in (10, 100)]
    alone = np.stack([one(IMAGE, matrix) for matrix in turned])
    assert len(traces) == 1
    together = jax.vmap(one, (None, 0))(IMAGE, np.stack(turned))
    np.testing.assert_allclose(together, alone, atol=1e-6)


def pillow(numbers):
    """Pillow's transform, which counts from the corner: to pixels from the middle and back."""
    a, b, c, d, e, f = numbers
    corner = (a, b, c + (W - a * W - b * H) / 2, d, e, f + (H - d * W - e * H) / 2)
    moved = [
        Image.fromarray(IMAGE[..., channel]).transform(
            (W, H), Image.Transform.AFFINE, corner, Image.Resampling.BILINEAR
        )
        for channel in range(3)
    ]
    return np.stack(moved, axis=-1)


# What AutoAugment gives to Pillow (its shears and shifts), and what the others come to.
PILLOW = {
    "translate_x": lambda s: (1, 0, -s * W, 0, 1, 0),
    "translate_y": lambda s: (1, 0, 0, 0, 1, -s * H),
    "shear_x": lambda s: (1, s, 0, 0, 1, 0),
    "shear_y": lambda s: (1, 0, 0, s, 1, 0),
    "scale": lambda s: (2**-s, 0, 0, 0, 2**-s, 0),
}


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("strength", [-0.35, 0.15, 0.4])
def test_shifts_shears_and_zooms_are_pillows_within_the_picture(name, strength):
    matrix = matrix_of(name, strength)
    rows, columns = places(matrix)
    within = (rows >= 0) & (rows <= H - 1) & (columns >= 0) & (columns <= W - 1)
    assert within.mean() > 0.3
    expected = pillow(PILLOW[name](strength))
    np.testing.assert_allclose(WARP(IMAGE, matrix)[within], expected[within], atol=1e-5)


@pytest.mark.parametrize("degrees", [-120, -30, 5, 45, 180])
def test_a_rotation_is_opencvs(degrees):
    theirs = cv2.invertAffineTransform(cv2.getRotationMatrix2D((0, 0), degrees, 1))
    matrix = matrix_of("rotate", degrees)
    np.testing.assert_allclose(matrix, theirs, atol=1e-6)
    # Their corner is the middle of the first pixel, and they round places to 1/32 of a pixel.
    corner = np.asarray(matrix, np.float64)
    middle = np.array([(W - 1) / 2, (H - 1) / 2])
    corner[:, 2] = middle - corner[:, :2] @ middle
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(IMAGE, corner, (W, H), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(WARP(IMAGE, matrix), turned, atol=2 / 32)


def test_a_shift_by_whole_pixels_moves_right_and_down_and_mirrors():
    moved = np.asarray(WARP(IMAGE, matrix_of("translate_x", 3 / W)))
    np.testing.assert_array_equal(moved[:, 3:], IMAGE[:, :-3])
    np.testing.assert_array_equal(moved[:, :3], IMAGE[:, 3:0:-1])
    moved = np.asarray(WARP(IMAGE, matrix_of("translate_y", 0.25)))
    np.testing.assert_array_equal(moved[3:], IMAGE[:-3])
    np.testing.assert_array_equal(moved[:3], IMAGE[3:0:-1])


def disc(size=64):
    """Returns a cell of two colours upon a third, and the three; no corner mirrors the cell."""
    colours = np.array([[0.9, 0.8, 0.8], [0.5, 0.2, 0.6], [0.7, 0.5, 0.2]], np.float32)
    y, x = np.indices((size, size)) - (size - 1) / 2
    return colours[np.where(np.hypot(x, y) > 0.28 * size, 0, np.where(x > 0.1 * y, 1, 2))], colours


@pytest.mark.parametrize("degrees", [-77, 15, 45, 133])
def test_a_rotation_keeps_a_discs_colours(degrees):
    image, colours = disc()

    def histogram(image):
        distance = np.linalg.norm(np.asarray(image)[:, :, None] - colours, axis=-1)
        return np.bincount(distance.argmin(-1).ravel(), minlength=3) / distance[..., 0].size

    np.testing.assert_allclose(
        histogram(WARP(image, matrix_of("rotate", degrees))), histogram(image), atol=0.01
    )


layouts = st.tuples(*[st.integers(0, 2**32 - 1)] * 2)


@settings(max_examples=30)
@given(layouts, layouts)
def test_one_warp_by_the_composition_is_two_warps(first, second):
    def layout(seeds):
        flip, turn = (jax.random.key(seed) for seed in seeds)
        return COMPOSE(FLIP(flip), TURN(turn))

    first, second = layout(first), layout(second)
    twice = WARP(WARP(SQUARE, first), second)
    np.testing.assert_array_equal(WARP(SQUARE, COMPOSE(first, second)), twice)


@given(matrices, matrices)
def test_the_composition_is_the_product_from_the_result_to_the_picture(first, second):
    square = [np.vstack([matrix, [0, 0, 1]]).astype(np.float64) for matrix in (first, second)]
    expected = (square[0] @ square[1])[:2]
    np.testing.assert_allclose(COMPOSE(first, second), expected, atol=1e-4)


@pytest.mark.parametrize("strength", [0.3, 0.95])
@pytest.mark.parametrize("aspect", [1.0, 2.0])
def test_a_crops_area_aspect_and_place_are_in_range(strength, aspect):
    (across, _, x), (_, down, y) = many("resized_crop", strength, aspect=aspect).transpose(1, 2, 0)
    area, ratio = across * down, across / down
    assert area.min() >= 1 - strength - 1e-6
    assert area.max() <= 1
    # Evenly drawn: the mean and the deviation of 2,000 numbers from that range.
    assert abs(area.mean() - (1 - strength / 2)) < 4 * strength / np.sqrt(12 * len(KEYS))
    assert abs(area.std() - strength / np.sqrt(12)) < 0.03 * strength
    assert ratio.max() <= aspect * (1 + 1e-6)
    assert ratio.min() >= (1 - 1e-6) / aspect
    assert ratio.max() - ratio.min() >= (0.9 * (aspect - 1 / aspect) if strength > 0.5 else 0)
    assert (np.abs(x) + across * W / 2 <= W / 2 + 1e-4).all()  # whole within the picture
    assert (np.abs(y) + down * H / 2 <= H / 2 + 1e-4).all()
    assert x.max() > 0 > x.min()


def test_a_translation_reaches_all_places_up_to_its_strength():
    x, y = many("translate", 0.25)[:, :, 2].T
    for shift, side in ((x, W), (y, H)):
        assert 0.24 * side < shift.max() <= 0.25 * side
        assert -0.25 * side <= shift.min() < -0.24 * side


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_flips_and_turns_are_as_frequent_as_said(strength):
    flipped = many("flip", strength)[:, (0, 1), (0, 1)] == -1
    turned = many("turn", strength, shape=(H, H))
    quarter, half = turned[:, 0, 0] == 0, turned[:, 0, :2].sum(axis=1) == -1
    for share in (*flipped.T.mean(axis=1), quarter.mean(), half.mean()):
        assert abs(share - strength / 2) < 0.045  # four deviations


def test_a_picture_that_is_not_square_is_turned_by_halves():
    seen = np.unique(many("turn", 1), axis=0)
    np.testing.assert_array_equal(seen, [-IDENTITY, IDENTITY])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_an_elastic_warp_at_strength_0_is_the_picture_to_the_bit(dtype):
    image = IMAGE.astype(dtype)
    warped = ELASTIC(jax.random.key(3), image, np.float32(0))
    assert warped.dtype == dtype
    np.testing.assert_array_equal(warped, image)


def ramps(size):
    """A picture that says where each of its pixels lies, as share of the side."""
    y, x = np.indices((size, size), np.float32) / size
    return np.stack([x, y], axis=-1)


@pytest.mark.parametrize("strength", [0.04, geometry.OPS["elastic"].magnitude.high])
def test_an_elastic_warp_moves_no_pixel_too_far_and_folds_nothing(strength):
    image = ramps(32)
    warped = np.asarray(MANY_ELASTIC(KEYS[:200], image, np.float32(strength)))
    inner = slice(5, -5)  # the mirror lies outside
    moved = (warped - image)[:, inner, inner]
    assert np.abs(moved).max() <= strength + 1e-6
    assert np.abs(moved).max() > strength / 2
    (x_by_y, y_by_y), (x_by_x, y_by_x) = (
        np.moveaxis(np.diff(warped, axis=axis)[:, inner, inner][:, :21, :21], -1, 0)
        for axis in (1, 2)
    )
    assert (x_by_x * y_by_y - x_by_y * y_by_x > 0).all()


def test_elastic_warps_are_the_same_alone_and_mapped_and_compiled_once():
    image, traces = ramps(32), []

    @jax.jit
    def one(*arguments):
        traces.append(arguments)
        return geometry.elastic(*arguments)

    for strength in (np.float32(0.02), np.float32(0.1)):
        together = MANY_ELASTIC(KEYS[:200], image, strength)
        for i in (0, 7):
            np.testing.assert_allclose(one(KEYS[i], image, strength), together[i], atol=1e-5)
    assert len(traces) == 1


@pytest.mark.parametrize("size", [5, 32])
def test_the_elastic_field_is_scipys_cubic_spline(size):
    knots = np.arange(-3, geometry.ELASTIC_CELLS + 4)
    splines = interpolate.BSpline(knots, np.eye(geometry.ELASTIC_CELLS + 3), 3)
    theirs = splines((np.arange(size) + 0.5) / size * geometry.ELASTIC_CELLS)
    np.testing.assert_allclose(geometry.spline_basis(size), theirs, atol=1e-6)


# Flips and turns without interpolation

PICTURE = np.arange(5 * 5 * 3, dtype=np.uint8).reshape(5, 5, 3)
FLIPS = [PICTURE[::a, ::b] for a in (1, -1) for b in (1, -1)]
TURNS = [np.rot90(PICTURE, quarters) for quarters in range(4)]
LAYOUTS = [np.rot90(picture, quarters) for picture in FLIPS[:2] for quarters in range(4)]


def flip_and_turn(key, image):
    first, second = jax.random.split(key)
    return geometry.turn_pixels(second, geometry.flip_pixels(first, image))


OPERATIONS = [
    pytest.param(geometry.flip_pixels, FLIPS, id="flip"),
    pytest.param(geometry.turn_pixels, TURNS, id="turn"),
    pytest.param(flip_and_turn, LAYOUTS, id="flip-and-turn"),
]


def test_there_are_eight_layouts():
    assert len({layout.tobytes() for layout in LAYOUTS}) == 8


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("operation", "layouts"), OPERATIONS)
def test_every_layout_is_equally_likely(operation, layouts, dtype):
    keys = jax.random.split(jax.random.key(0), 4000)
    seen = jax.jit(jax.vmap(operation, in_axes=(0, None)))(keys, PICTURE.astype(dtype))
    assert seen.dtype == dtype
    counts = [int((seen == layout.astype(dtype)).all(axis=(1, 2, 3)).sum()) for layout in layouts]
    assert sum(counts) == len(keys)  # each result is one of them, hence has the picture's pixels
    expected = len(keys) / len(layouts)
    chi_square = sum((count - expected) ** 2 / expected for count in counts)
    assert chi_square < 24.3  # with 7 degrees of freedom, one sample in 1,000 is above


COMPILED = {
    operation: jax.jit(operation) for operation in (geometry.flip_pixels, geometry.turn_pixels)
}


@given(st.integers(0, 2**32 - 1))
def test_plain_compiled_and_mapped_are_the_same(seed):
    key = jax.random.key(seed)
    for operation, compiled in COMPILED.items():
        plain = operation(key, PICTURE)
        assert np.array_equal(plain, compiled(key, PICTURE))
        assert np.array_equal(plain, jax.vmap(operation)(key[None], PICTURE[None])[0])


def test_pictures_that_are_not_square_can_be_flipped():
    picture = PICTURE[:, :3]
    seen = {
        np.asarray(geometry.flip_pixels(jax.random.key(i), picture)).tobytes() for i in range(32)
    }
    assert seen == {picture[::a, ::b].tobytes() for a in (1, -1) for b in (1, -1)}


@given(st.integers(0, 2**32 - 1))
def test_of_a_rectangle_a_turn_of_pixels_is_that_of_the_matrix(seed):
    key, picture = jax.random.key(seed), PICTURE[:, :3].astype(np.float32)
    matrix = geometry.turn(key, np.float32(1), picture.shape[:2])
    np.testing.assert_array_equal(geometry.turn_pixels(key, picture), WARP(picture, matrix))
