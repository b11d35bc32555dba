import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.utils.class_weight import compute_class_weight

from bcjax.engine.losses import balanced_weights, cross_entropy, focal
from bcjax.runtime.errors import UserError

LOGITS = jnp.array([[1.0, -0.5, 2.0], [0.3, 0.2, 0.1], [-4.0, 5.0, 0.0], [0.0, 0.0, 0.0]])
LABELS = jnp.array([2, 0, 1, 1], jnp.int32)
SOFT = jnp.array([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [0.5, 0.5, 0.0]])


def test_index_labels_agree_with_optax():
    expected = optax.softmax_cross_entropy_with_integer_labels(LOGITS, LABELS)
    np.testing.assert_allclose(cross_entropy(LOGITS, LABELS), expected, atol=1e-6)


def test_soft_labels_agree_with_optax():
    expected = optax.softmax_cross_entropy(LOGITS, SOFT)
    np.testing.assert_allclose(cross_entropy(LOGITS, SOFT), expected, rtol=1e-6)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, np.array([0.5, 2.0, 3.0], np.float32)])
def test_one_hot_labels_equal_index_labels(label_smoothing, weights):
    one_hot = jax.nn.one_hot(LABELS, 3)
    options = {"label_smoothing": label_smoothing, "class_weights": weights}
    np.testing.assert_array_equal(
        cross_entropy(LOGITS, LABELS, **options), cross_entropy(LOGITS, one_hot, **options)
    )


def test_smoothing_mixes_in_the_mean_over_all_classes():
    uniform = -jax.nn.log_softmax(LOGITS).mean(axis=-1)
    expected = 0.9 * cross_entropy(LOGITS, LABELS) + 0.1 * uniform
    np.testing.assert_allclose(
        cross_entropy(LOGITS, LABELS, label_smoothing=0.1), expected, rtol=1e-6
    )


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_weights_multiply_by_the_unsmoothed_target(label_smoothing):
    weights = jnp.array([0.5, 2.0, 3.0])
    plain = cross_entropy(LOGITS, SOFT, label_smoothing=label_smoothing)
    weighted = cross_entropy(LOGITS, SOFT, label_smoothing=label_smoothing, class_weights=weights)
    np.testing.assert_allclose(weighted, plain * np.array([2.75, 0.5, 2.2, 1.25]), rtol=1e-6)


def test_weights_of_one_change_nothing():
    weights = np.ones(3, np.float32)
    np.testing.assert_array_equal(
        cross_entropy(LOGITS, LABELS, class_weights=weights), cross_entropy(LOGITS, LABELS)
    )


def test_bfloat16_logits_are_computed_in_float32():
    logits = LOGITS.astype(jnp.bfloat16)
    loss = cross_entropy(logits, LABELS)
    assert loss.dtype == jnp.float32
    np.testing.assert_array_equal(loss, cross_entropy(logits.astype(jnp.float32), LABELS))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_large_logits_give_finite_losses_and_gradients(dtype):
    logits = jnp.array([[6e4, -6e4, 0.0], [-6e4, 6e4, 6e4]], dtype)
    labels = jnp.array([1, 0], jnp.int32)
    loss, grad = jax.value_and_grad(lambda x: cross_entropy(x, labels).sum())(logits)
    assert jnp.isfinite(loss)
    assert jnp.isfinite(grad).all()


@given(
    logits=arrays(np.float32, (4, 3), elements=st.floats(-50, 50, width=32)),
    raw=arrays(np.float32, (4, 3), elements=st.floats(0.125, 1, width=32)),
    label_smoothing=st.floats(0, 0.9),
)
@settings(max_examples=50)
def test_gradient_sums_to_zero_over_the_classes(logits, raw, label_smoothing):
    targets = raw / raw.sum(axis=-1, keepdims=True)

    @jax.grad
    def gradient(x):
        return cross_entropy(x, targets, label_smoothing=label_smoothing).sum()

    np.testing.assert_allclose(gradient(logits).sum(axis=-1), 0, atol=1e-5)


def test_is_the_same_under_jit():
    weights = jnp.array([0.5, 2.0, 3.0])

    def loss(logits, labels):
        return cross_entropy(logits, labels, label_smoothing=0.1, class_weights=weights)

    np.testing.assert_allclose(jax.jit(loss)(LOGITS, LABELS), loss(LOGITS, LABELS), rtol=1e-6)


@given(st.lists(st.integers(1, 500), min_size=2, max_size=8))
def test_balanced_weights_agree_with_scikit_learn(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    weights = balanced_weights(np.array(counts))
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    np.testing.assert_allclose(weights[labels].mean(), 1, rtol=1e-5)


def test_a_class_without_examples_has_no_balanced_weight():
    with pytest.raises(UserError, match="Class 1 has no training examples"):
        balanced_weights(np.array([3, 0, 5]))


def test_focal_loss_without_focus_is_cross_entropy():
    np.testing.assert_array_equal(focal(LOGITS, LABELS, gamma=0.0), cross_entropy(LOGITS, LABELS))


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("weights", [None, np.array([0.5, 2.0, 3.0], np.float32)])
def test_focal_loss_is_the_papers_formula(gamma, weights):
    logits = np.float64(LOGITS)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    p = p[np.arange(len(LABELS)), LABELS]
    alpha = 1.0 if weights is None else weights[LABELS]
    expected = -alpha * (1 - p) ** gamma * np.log(p)
    loss = focal(LOGITS, LABELS, gamma=gamma, class_weights=weights)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_the_gradient_of_what_is_learnt_is_finite():
    logits = jnp.array([[200.0, 0.0, 0.0]])
    for gamma in (0.5, 2.0):
        slope = jax.grad(lambda x, g=gamma: focal(x, jnp.array([0]), gamma=g).sum())(logits)
        assert np.isfinite(slope).all()
