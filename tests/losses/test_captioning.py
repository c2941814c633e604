"""Eq. 8 with and without an end of captions; how evenly words share regions."""

import jax.numpy as jnp
import numpy as np
import pytest

from mirrorgan_jax.losses import captioning

TOKENS = np.array([[3, 1, 2], [2, 0, 0]])
LENGTH = np.array([3, 1])


@pytest.mark.parametrize(("reduction", "count"), [("mean", 6), ("sum", 2)])
def test_end_is_predicted_after_every_last_word(reduction, count):
    tokens, length = captioning.with_end(jnp.array(TOKENS), jnp.array(LENGTH))
    logits = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    loss = captioning.caption_loss(logits, tokens, length, reduction=reduction)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    said = [(0, 0, 3), (0, 1, 1), (0, 2, 2), (0, 3, 0), (1, 0, 2), (1, 1, 0)]
    expected = -sum(log_probs[place] for place in said) / count
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_regularisation_is_that_of_the_words_share_of_every_region():
    weights = np.random.default_rng(0).dirichlet(np.ones(4), (2, 3))
    looked = [weights[0].sum(0), weights[1, 0]]  # padding looks at nothing
    expected = np.mean([(1 - row) ** 2 for row in looked])
    found = captioning.attention_regularisation(weights, LENGTH)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    even = np.full((1, 4, 4), 1 / 4)
    assert captioning.attention_regularisation(even, np.array([4])) == 0
