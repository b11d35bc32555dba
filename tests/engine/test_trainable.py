"""From the words of `finetune.trainable` to the paths of parameters."""

import itertools

import pytest
from staged import Staged, layers_of_model

from bcjax import models
from bcjax.engine.trainable import select, stage_of
from bcjax.runtime.errors import UserError

STAGED = layers_of_model(Staged())
EVERYTHING = tuple(itertools.chain(*STAGED))


def holders(found):
    """The modules that hold the kernels."""
    return [layer[0].rpartition("/")[0] for layer in found]


def test_a_layer_is_a_kernel_and_what_follows_it():
    def block(path):
        return (f"{path}/conv/kernel", f"{path}/norm/bias", f"{path}/norm/scale")

    assert (
        ("stage1/downsample/kernel",),
        block("stage1/block1"),
        block("stage1/block2"),
        ("stage2/downsample/kernel",),
        block("stage2/block1"),
        block("stage2/block2"),
        ("head/dense1/bias", "head/dense1/kernel"),
        ("head/logits/bias", "head/logits/kernel"),
    ) == STAGED


def test_layers_are_in_forward_order_not_in_that_of_their_names():
    found = holders(layers_of_model(models.create("resnet18", classes=3), 32))
    assert len(found) == 21
    assert found[0] == "stem/conv"
    assert found[-6:] == [
        "stage4/block1/conv1",
        "stage4/block1/conv2",
        "stage4/block1/shortcut_conv",
        "stage4/block2/conv1",
        "stage4/block2/conv2",
        "head/logits",
    ]


def test_recomputed_blocks_have_the_layers_that_others_have():
    assert layers_of_model(Staged(remat=True)) == STAGED


@pytest.mark.parametrize(
    ("asked", "stages"),
    [
        ("all", {"stage1", "stage2", "head"}),
        ("head", {"head"}),
        ("stage2,head", {"stage2", "head"}),
        (" head , stage1 ", {"stage1", "head"}),
        ("last 100%", {"stage1", "stage2", "head"}),
        ("^(stage2|head)/", {"stage2", "head"}),
    ],
)
def test_stages_train_whole(asked, stages):
    expected = tuple(path for path in EVERYTHING if stage_of(path) in stages)
    assert select(asked, STAGED) == expected


@pytest.mark.parametrize(
    ("asked", "count"),
    [("last 30%", 6), ("last 40 %", 8), ("last 1%", 1), ("last 12.5%", 3), ("last  100%", 21)],
)
def test_the_last_layers_are_counted_from_the_logits(asked, count):
    found = layers_of_model(models.create("resnet18", classes=3), 32)
    assert select(asked, found) == tuple(itertools.chain(*found[-count:]))


def test_a_regular_expression_is_searched_for_in_each_path():
    norms = [path for path in EVERYTHING if "/norm/" in path]
    assert select("norm", STAGED) == tuple(norms)
    assert select("^stage1/block[2-9]/conv", STAGED) == ("stage1/block2/conv/kernel",)
    assert select("stage1/.*bias$|logits", STAGED) == (
        "stage1/block1/norm/bias",
        "stage1/block2/norm/bias",
        "head/logits/bias",
        "head/logits/kernel",
    )


@pytest.mark.parametrize("asked", ["stage3", "stage2,tail", "haed", "^kernel", ""])
def test_what_matches_nothing_is_refused_with_the_stages_that_there_are(asked):
    with pytest.raises(UserError) as caught:
        select(asked, STAGED)
    assert str(caught.value) == (
        f"finetune.trainable is {asked!r}, which matches no parameter: write all, 'last 30%', a "
        "regular expression, or stages of this network: stage1, stage2, head."
    )


@pytest.mark.parametrize("asked", ["last 0%", "last 101%"])
def test_a_share_is_more_than_nothing_and_at_most_all(asked):
    with pytest.raises(UserError, match="more than 0 %, 100 % at most"):
        select(asked, STAGED)


def test_what_is_no_regular_expression_is_refused():
    with pytest.raises(UserError, match=r"'\(stage1', neither stages nor .*unterminated"):
        select("(stage1", STAGED)
