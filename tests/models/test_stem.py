"""Text encoder and conditioning augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mirrorgan_jax.models import stem

TOKENS = jnp.array([[3, 5, 2, 0, 0], [1, 4, 6, 2, 5]])
LENGTH = jnp.array([3, 5])


def make(**kwargs):
    module = stem.TextEncoder(9, embed_dim=6, word_dim=8, **kwargs)
    return module, module.init(jax.random.key(0), TOKENS, LENGTH, train=False)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_sentence_joins_last_forward_and_first_backward_states(cell):
    module, variables = make(cell=cell)
    words, sentence = module.apply(variables, TOKENS, LENGTH, train=False)
    assert words.shape == (2, 5, 8)
    assert not np.any(words[0, 3:])
    np.testing.assert_array_equal(sentence[0, :4], words[0, 2, :4])
    np.testing.assert_array_equal(sentence[1, :4], words[1, 4, :4])
    np.testing.assert_array_equal(sentence[:, 4:], words[:, 0, 4:])


def test_dropout_acts_only_in_training():
    module, variables = make()
    _, plain = module.apply(variables, TOKENS, LENGTH, train=False)
    _, dropped = module.apply(
        variables, TOKENS, LENGTH, train=True, rngs={"dropout": jax.random.key(1)}
    )
    assert np.abs(plain - dropped).max() > 1e-4
    embedding = variables["params"]["embedding"]["embedding"]
    assert 0.08 < float(jnp.abs(embedding).max()) <= 0.1


def test_odd_word_dimension_is_refused():
    module = stem.TextEncoder(9, word_dim=7)
    with pytest.raises(ValueError, match="word_dim = 7"):
        module.init(jax.random.key(0), TOKENS, LENGTH, train=False)


def test_augmentation_adds_scaled_noise():
    module = stem.ConditioningAugmentation(4)
    sentence = jax.random.normal(jax.random.key(1), (2, 8))
    eps = jax.random.normal(jax.random.key(2), (2, 4))
    variables = module.init(jax.random.key(0), sentence, eps)
    code, mu, logvar = module.apply(variables, sentence, eps)
    np.testing.assert_allclose(code, mu + eps * np.exp(logvar / 2), rtol=1e-6)
    mean, _, _ = module.apply(variables, sentence, jnp.zeros((2, 4)))
    np.testing.assert_array_equal(mean, mu)
