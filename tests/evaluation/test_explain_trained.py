"""The maps of a network that has learnt depend on that, and fall on the cell."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bcjax import config as configs
from bcjax.data.sources import synthetic
from bcjax.engine.network import RestoredNetwork
from bcjax.evaluation.explanation import sanity_checks, stages
from bcjax.evaluation.explanation.explainer import METHODS, Explainer, explain
from bcjax.evaluation.explanation.selection import ImageToExplain
from bcjax.models.plain_cnn import PlainCNN

SIDE = 32
KINDS = [synthetic.CLASSES.index(name) for name in ("eosinophil", "lymphocyte", "platelet")]
# Grad-CAM++ weighs no channel negatively, so that a faint veil lies over the whole picture: it is
# held to where it is brightest alone.
TIMES_CHANCE = dict.fromkeys(METHODS, 1.5) | {"grad-cam++": 1.0}


def drawn(count, first):
    """Pictures of each kind in turn, with their ids: the same scenes as the synthetic source's."""
    for i in range(count):
        label, index = KINDS[i % len(KINDS)], first + i // len(KINDS)
        image = synthetic.draw(label, index, size=SIDE).image
        yield ImageToExplain(f"test/{synthetic.CLASSES[label]}/{index:06d}.jpg", image, label)


@pytest.fixture(scope="module")
def learnt():
    config = configs.default()
    config.data.source, config.data.image_size = "synthetic", SIDE
    config.model.mean, config.model.std = (0.5,) * 3, (0.25,) * 3
    model = PlainCNN(len(synthetic.CLASSES), widths=(8, 16, 32), flatten=False)
    look = stages.logits(model, config.model.mean, config.model.std)
    shown = list(drawn(144, first=0))
    images = np.stack([picture.pixels for picture in shown]).astype(np.float32) / 255
    labels = np.array([picture.label for picture in shown])
    variables = jax.jit(model.init)(jax.random.key(0), images[:1])
    optimizer = optax.adam(5e-3)

    @jax.jit
    def step(variables, state, images, labels):
        def loss(variables):
            answers = look(variables, images)
            return optax.softmax_cross_entropy_with_integer_labels(answers, labels).mean()

        updates, state = optimizer.update(jax.grad(loss)(variables), state)
        return optax.apply_updates(variables, updates), state

    state, rng = optimizer.init(variables), np.random.default_rng(0)
    for _ in range(200):
        rows = rng.choice(len(images), 24, replace=False)
        variables, state = step(variables, state, images[rows], labels[rows])
    return RestoredNetwork(config, synthetic.CLASSES, model, {"batch_stats": {}} | variables, 200)


@pytest.fixture(scope="module")
def explainer(learnt):
    return Explainer(learnt)


@pytest.fixture(scope="module")
def found(learnt, explainer):
    pictures = list(drawn(15, first=1000))
    return explain(explainer, learnt, pictures, [None] * len(pictures))


@pytest.fixture(scope="module")
def sane(learnt, explainer, found):
    return sanity_checks.randomisation_test(explainer, learnt, found)


def test_the_network_has_learnt(found):
    assert np.mean([one.predicted == one.image.label for one in found]) > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_a_map_is_another_once_the_parameters_are_randomised(sane, method):
    assert sane[method].n > 0
    assert abs(sane[method].rank_correlation) < 0.6


def test_a_map_of_the_same_parameters_is_the_same(learnt, explainer, found, monkeypatch):
    """So the test above is one: nothing but the parameters makes the difference."""
    monkeypatch.setattr(
        "bcjax.evaluation.explanation.sanity_checks.randomised",
        lambda model, variables, key: variables,
    )
    for test in sanity_checks.randomisation_test(explainer, learnt, found).values():
        assert test.rank_correlation == pytest.approx(1)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_falls_on_the_cell_more_than_chance_would(learnt, found, method):
    figures = sanity_checks.localisation(learnt, found)
    assert figures.n == len(found)
    assert 0.03 < figures.area < 0.2
    assert figures.methods[method].energy > TIMES_CHANCE[method] * figures.area
    assert figures.methods[method].pointing > 3 * figures.area


def test_integrated_gradients_say_how_nearly_they_add_up(found):
    for one in found:
        assert abs(one.completeness_gap) < 0.05 * np.abs(one.maps["integrated-gradients"]).sum()


def test_the_mask_lies_where_the_cell_is_drawn(learnt, found):
    for one in found:
        mask = sanity_checks.cell_mask(one.image.id, learnt.config.data)
        exact = synthetic.draw(one.image.label, int(one.image.id[-10:-4]), size=SIDE).mask
        assert (mask != exact).mean() < 0.03


def test_the_picture_explained_is_the_one_answered(learnt, explainer, found):
    one = found[0]
    pixels = jnp.asarray(one.image.pixels, jnp.float32)[None] / 255
    look = stages.logits(learnt.model, learnt.config.model.mean, learnt.config.model.std)
    shares = jax.nn.softmax(look(learnt.variables, pixels)[0])
    assert one.predicted == shares.argmax() == one.target
    assert one.probability == pytest.approx(float(shares.max()), rel=1e-4)
