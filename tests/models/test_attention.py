"""Eq. 4 and 5 against NumPy, and their masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mirrorgan_jax.models import attention


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax(x, axis):
    x = np.exp(x - x.max(axis, keepdims=True))
    return x / x.sum(axis, keepdims=True)


def test_word_attention_matches_equation():
    features, words = normal(0, 2, 3, 4, 5), normal(1, 2, 6, 5)
    length = np.array([6, 2])
    mask = np.arange(6) < length[:, None]
    context, weights = attention.word_attention(features, words, mask)
    for b in range(2):
        real = words[b, : length[b]]
        expected = softmax(features[b] @ real.T, -1)
        np.testing.assert_allclose(weights[b, ..., : length[b]], expected, atol=1e-6)
        np.testing.assert_allclose(context[b], expected @ real, atol=1e-5)
        assert not np.any(weights[b, ..., length[b] :])


@pytest.mark.parametrize(("name", "axis"), [("channel", -1), ("spatial", (0, 1))])
def test_sentence_attention_matches_equation(name, axis):
    features, sentence = normal(0, 2, 3, 4, 5), normal(1, 2, 5)
    scores = features * sentence[:, None, None]
    context, weights = attention.sentence_attention(scores, sentence, softmax_axis=name)
    for b in range(2):
        expected = softmax(scores[b], axis)
        np.testing.assert_allclose(weights[b], expected, atol=1e-6)
        np.testing.assert_allclose(context[b], expected * sentence[b], atol=1e-6)


def test_unknown_softmax_axis_is_refused():
    with pytest.raises(ValueError, match="'words' is not one of"):
        attention.sentence_attention(
            jnp.zeros((1, 2, 2, 3)), jnp.zeros((1, 3)), softmax_axis="words"
        )


def test_one_real_word_takes_all_attention_with_finite_gradients():
    features, words = normal(0, 1, 2, 2, 3), normal(1, 1, 4, 3)
    mask = np.array([[True, False, False, False]])

    def total(features, words):
        context, _ = attention.word_attention(1e4 * features, words, mask)
        return jnp.sum(context**2)

    context, _ = attention.word_attention(features, words, mask)
    for pixel in np.asarray(context).reshape(-1, 3):
        np.testing.assert_array_equal(pixel, words[0, 0])
    for grad in jax.grad(total, (0, 1))(features, words):
        assert np.isfinite(grad).all()


@pytest.mark.parametrize("conv", [False, True])
def test_sentence_conv_is_a_choice(conv):
    module = attention.GlobalLocalAttention(sentence_conv=conv)
    shapes = jax.eval_shape(
        module.init,
        jax.random.key(0),
        jnp.zeros((1, 2, 2, 3)),
        jnp.zeros((1, 7)),
        jnp.zeros((1, 4, 5)),
    )
    assert ("sentence_conv" in shapes["params"]) == conv
