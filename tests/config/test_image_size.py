"""The size of pictures: one number for a square, two for any other rectangle."""

import json

import pytest

from bcjax import config as configs
from bcjax.config import ImageSize
from bcjax.runtime.errors import UserError


@pytest.mark.parametrize("typed", ["96,128", "(96, 128)", "[96,128]", "96, 128", "(96,128,)"])
def test_a_rectangle_is_taken_as_people_type_it(typed):
    assert configs.parse("data.image_size", typed) == (96, 128)


@pytest.mark.parametrize("typed", ["96", "96,96", "(96, 96)", "[96]", "(96,)"])
def test_a_square_is_one_number_however_it_is_typed(typed):
    assert configs.parse("data.image_size", typed) == 96


@pytest.mark.parametrize("set_to", [96, (96, 96), [96, 96], [96]])
def test_a_square_is_one_number_however_python_says_it(set_to):
    config = configs.default()
    config.data.image_size = set_to
    assert configs.check(config).data.image_size == 96
    assert configs.get("elu_cnn", {"data.image_size": set_to}).data.image_size == 96


def test_a_rectangle_is_written_read_and_compared():
    config = configs.default()
    config.data.image_size = [96, 128]
    config = configs.check(config)
    read = configs.from_dict(json.loads(json.dumps(config.to_dict())))
    assert read.data.image_size == (96, 128)
    assert configs.differences(config, read) == {}
    turned = configs.replaced(config, {"data.image_size": (128, 96)})
    assert configs.differences(config, turned) == {"data.image_size": ((96, 128), (128, 96))}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            (96, 128, 3),
            ".96, 128, 3.: write a whole number, the side of a square, or height and",
        ),
        ((), "write a whole number"),
        ((96, 12.5), "write a whole number"),
        ("96x128", "'96x128': write a whole number"),
        (True, "True: write a whole number"),
        (None, "None: write a whole number"),
        (96.5, "96.5: write a whole number"),
        (4, "4: it must be at least 8 and at most 4096"),
        ((96, 4), ".96, 4.: each must be at least 8 and at most 4096"),
        ((5000, 96), "each must be at least 8"),
    ],
)
def test_what_is_no_size_is_refused(value, said):
    config = configs.default()
    config.data.image_size = value
    with pytest.raises(UserError, match=f"config.data.image_size .*{said}"):
        configs.check(config)


def test_code_has_height_and_width():
    assert ImageSize.of(96) == ImageSize.of((96, 96)) == (96, 96)
    assert ImageSize.of([96, 128]) == ImageSize(height=96, width=128)
    assert (str(ImageSize.of(96)), str(ImageSize.of((96, 128)))) == ("96", "96x128")
    assert [ImageSize.of(size).stated for size in (96, (96, 128))] == [96, (96, 128)]
    assert ImageSize(2, 3).pixels == 6
    assert not ImageSize(2, 3).square
