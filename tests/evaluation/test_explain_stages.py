"""Stages are found and listened to by name, in every network of the table."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import TINY, initialised, jit, key, pictures

from bcjax.config import ImageSize
from bcjax.evaluation.explanation import methods, stages
from bcjax.models import MODELS, create
from bcjax.models.mbconv import MBConvNet
from bcjax.models.mobilenet import MobileNetV1
from bcjax.runtime.errors import UserError

LOOK = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def shallow(model):
    """The same network with one narrow block in each stage: the stages are what is asked about."""
    changes = {"hidden": (), "dropout": 0.0} | ({"alpha": 1.0} if hasattr(model, "alpha") else {})
    if isinstance(model, MBConvNet):
        rows = tuple(dataclasses.replace(row, depth=1, width=8) for row in model.layout.rows)
        top = 8 if model.layout.top else 0
        changes["layout"] = dataclasses.replace(model.layout, rows=rows, stem=8, top=top)
    elif isinstance(model, MobileNetV1):
        changes["rows"] = tuple((8, 1) for _ in model.rows)
    elif getattr(model, "depths", None):
        changes["depths"] = (1,) * len(model.depths)
        changes |= {"width": 16, "drop_path": 0.0} if hasattr(model, "width") else {}
    return model.clone(**changes)


@functools.cache
def maps(model):
    return stages.map_shapes(model, ImageSize.of(96), 3)


@pytest.mark.parametrize("name", MODELS)
def test_the_stages_of_every_network_are_found_in_their_order(name):
    found = maps(shallow(create(name, classes=3)))
    if name.startswith("vit_"):  # its tokens are no maps
        assert not found
        return
    pooled = {"head", "norm"}
    assert tuple(found) == tuple(stage for stage in MODELS[name].stages if stage not in pooled)
    sides = [height for height, _, _ in found.values()]
    assert sides == sorted(sides, reverse=True)
    assert found[stages.choose(found)][0] >= 4


def family(name):
    """One of each, with its parameters."""
    if name in TINY:
        return initialised(name)
    model = shallow(create(name, classes=3))
    if isinstance(model, MBConvNet):
        layout = dataclasses.replace(model.layout, rows=model.layout.rows[:2])
        model = model.clone(layout=layout)
    else:
        model = model.clone(rows=model.rows[:2])
    return model, jit(model.init)(key(), pictures(1, 32))


FAMILIES = (
    "elu_cnn",
    "averaged",
    "alexnet",
    "basic",
    "convnext",
    "efficientnet_b0",
    "mobilenet_v1",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_listening_changes_no_answer_and_the_gradient_foretells_a_change(name):
    model, variables = family(name)
    kept = stages.without_remat(model.clone(remat=True))  # nothing could be handed out of a remat
    found = stages.map_shapes(kept, ImageSize.of(32), 3)
    stage = list(found)[-1]
    tapped = stages.stage_output(kept, *LOOK, stage)
    images = jax.nn.sigmoid(pictures(1, 32))
    nothing = jnp.zeros((1, *found[stage]))

    def score(change):
        answer, activation = tapped(variables, images, change)
        return answer[0, 1], (answer, activation)

    at = jit(jax.value_and_grad(score, has_aux=True))
    (_, (answer, activation)), gradient = at(nothing)
    step = 1e-2 * gradient / jnp.linalg.norm(gradient)
    rise = (at(step)[0][0] - at(-step)[0][0]) / 2
    foretold = (step * gradient).sum()
    plain = jit(stages.logits(model, *LOOK))(variables, images)
    np.testing.assert_allclose(answer, plain, rtol=1e-4, atol=1e-5)
    assert activation.shape == nothing.shape
    assert foretold > 0
    np.testing.assert_allclose(rise, foretold, rtol=0.05)


def test_the_default_is_the_last_stage_fine_enough_to_say_where():
    deep = {"stage1": (24, 24, 8), "stage2": (6, 6, 16), "stage3": (3, 3, 32)}
    assert stages.choose(deep) == "stage2"
    assert stages.choose(deep, "stage3") == "stage3"
    assert stages.choose({"stage1": (3, 3, 8), "stage2": (2, 2, 16)}) == "stage2"


def test_a_stage_without_a_map_is_refused():
    with pytest.raises(UserError, match=r"'head': choose among stage1 \(8x8\)"):
        stages.choose({"stage1": (8, 8, 4)}, "head")
    with pytest.raises(UserError, match="occlusion"):
        stages.choose({})


def test_grad_cam_of_an_averaging_network_is_what_each_place_adds_to_the_logit():
    """There, by hand: relu(sum_k w_k A_k / Z), and Grad-CAM++ weighs w_k by 1 / (2 + w_k mean A_k).

    For the gradient is w_k / Z at every one of the Z places.
    """
    model, variables = initialised("averaged")
    image = jax.nn.sigmoid(pictures(2, 32))[1]
    tapped = stages.stage_output(model, *LOOK, "stage2")
    shape = stages.map_shapes(model, ImageSize.of(32), 3)["stage2"]
    answer, activation = jit(tapped)(variables, image[None], jnp.zeros((1, *shape)))
    a = np.asarray(activation[0], np.float64)
    head = variables["params"]["head"]["logits"]
    w = np.asarray(head["kernel"], np.float64)[:, 2]
    z = a.shape[0] * a.shape[1]
    added = a @ w / z
    np.testing.assert_allclose(added.sum() + head["bias"][2], answer[0, 2], rtol=1e-4)

    gradient = np.broadcast_to(w / z, a.shape)
    np.testing.assert_allclose(methods.grad_cam(a, gradient), np.maximum(added, 0), rtol=1e-4)
    weights = np.maximum(w, 0) / (2 + w * a.mean(axis=(0, 1)))
    expected = np.maximum(a @ weights, 0)
    np.testing.assert_allclose(methods.grad_cam_plus_plus(a, gradient), expected, rtol=1e-4)

    for name, by_hand in (("grad-cam", np.maximum(added, 0)), ("grad-cam++", expected)):
        drawn = methods.class_activation_map(tapped, shape, methods.WEIGHTINGS[name])(
            variables, image, 2
        )
        enlarged = jax.image.resize(by_hand, (32, 32), "linear")
        np.testing.assert_allclose(drawn, enlarged, rtol=1e-3, atol=1e-5)
