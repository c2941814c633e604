"""The map between PyTorch's names and our trees."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import weight_rule

from mirrorgan_jax.models import discriminators, glam, stem
from mirrorgan_jax.weights import names


def generator():
    args = (jnp.zeros((1, 100)),) * 2, jnp.zeros((1, 256)), jnp.zeros((1, 18, 256))
    noise, sentence, words = args
    mask = jnp.ones((1, 18), bool)
    return glam.Generator(sentence_conv=True), (*noise, sentence, words, mask)


def discriminator(size):
    arrays = jnp.zeros((1, size, size, 3)), jnp.zeros((1, 256))
    return discriminators.Discriminator(size), arrays


def text_encoder():
    return stem.TextEncoder(5450), (jnp.ones((1, 2), int), jnp.ones(1, int))


NETWORKS = {
    "G_NET": (generator, names.generator(3)),
    "RNN_ENCODER_LSTM_5450_256": (text_encoder, names.text_encoder()),
    "D_NET64": (lambda: discriminator(64), names.discriminator(64)),
    "D_NET128": (lambda: discriminator(128), names.discriminator(128)),
    "D_NET256": (lambda: discriminator(256), names.discriminator(256)),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_every_tensor_has_its_place_and_shape(network):
    make, modules = NETWORKS[network]
    module, inputs = make()
    init = functools.partial(module.init, train=False)
    expected = jax.eval_shape(init, jax.random.key(0), *inputs)
    tensors = {k: np.empty(s, "f4") for k, s in weight_rule.table(network).items()}
    tree = names.to_tree(tensors, modules)
    assert jax.tree.map(jnp.shape, tree) == jax.tree.map(jnp.shape, expected)


def test_conversion_there_and_back_is_the_identity():
    table = weight_rule.table("D_NET64")
    small = {k: (2, 3, *s[2:]) if len(s) == 4 else (5,) for k, s in table.items()}
    tensors = weight_rule.weights("test", small, 1.0)
    modules = names.discriminator(64)
    tree = names.to_tree(tensors, modules)
    back = names.to_state_dict(tree, modules)
    assert set(back) == set(tensors)
    for name, value in tensors.items():
        np.testing.assert_array_equal(back[name], value)


def test_unknown_and_missing_tensors_are_named():
    modules = names.conditioning()
    with pytest.raises(ValueError, match=r"no place for \['fd.weight'\]"):
        names.to_tree({"fd.weight": np.zeros((2, 2))}, modules)


def test_size_without_a_reference_is_refused():
    with pytest.raises(ValueError, match="image_size = 32"):
        names.discriminator(32)
