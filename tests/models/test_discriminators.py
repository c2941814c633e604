"""Sizes, pairs and norms of the discriminators."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mirrorgan_jax.models import convolution, discriminators

COUNTS = {64: 6_313_730, 128: 19_424_002, 256: 71_858_946}


def make(size=16, **kwargs):
    module = discriminators.Discriminator(size, ndf=4, **kwargs)
    image = jax.random.normal(jax.random.key(1), (3, size, size, 3))
    sentence = jax.random.normal(jax.random.key(2), (3, 6))
    init = jax.jit(functools.partial(module.init, train=False))
    return module, init(jax.random.key(0), image, sentence), image, sentence


@pytest.mark.parametrize("size", COUNTS)
def test_full_size_has_the_papers_number_of_parameters(size):
    module = discriminators.Discriminator(size)
    init = functools.partial(module.init, train=False)
    image, sentence = jnp.zeros((1, size, size, 3)), jnp.zeros((1, 256))
    shapes = jax.eval_shape(init, jax.random.key(0), image, sentence)
    assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == COUNTS[size]


def test_coarse_trunks_start_wider_and_fine_ones_come_back():
    widths = {size: discriminators.trunk_widths(size) for size in (8, 16, 64, 256)}
    assert widths == {
        8: ([8], []),
        16: ([4, 8], []),
        64: ([1, 2, 4, 8], []),
        256: ([1, 2, 4, 8, 16, 32], [16, 8]),
    }


@pytest.mark.parametrize("size", discriminators.IMAGE_SIZES)
def test_features_are_four_by_four_and_eight_ndf_wide(size):
    module = discriminators.Discriminator(size, ndf=4)
    init = functools.partial(module.init_with_output, train=False, method="features")
    image = jnp.zeros((1, size, size, 3))
    features, _ = jax.eval_shape(init, jax.random.key(0), image)
    assert features.shape == (1, 4, 4, 8 * 4)


def test_joint_conv_is_the_convolution_of_the_joined_maps():
    maps = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
    sentence = jax.random.normal(jax.random.key(2), (2, 5))
    module = discriminators.JointConv(features=6)
    (visual, textual), variables = module.init_with_output(
        jax.random.key(0), (maps,), sentence, train=False
    )
    spread = jnp.broadcast_to(sentence[:, None, None], (2, 4, 4, 5))
    joined = jnp.concatenate([maps, spread], -1)
    expected = convolution.convolve(joined, variables["params"]["kernel"])
    np.testing.assert_allclose(visual[0] + textual, expected, atol=1e-5)


def test_pairs_equal_separate_calls():
    module, variables, real, sentence = make()
    fake = -real
    apply = functools.partial(module.apply, variables, train=False)
    pairs = functools.partial(apply, real, fake, sentence, method="pairs")
    logits = pairs(wrong_pairs=True)
    uncond, cond = apply(real, sentence)
    np.testing.assert_allclose(logits["real"], uncond, atol=1e-6)
    np.testing.assert_allclose(logits["cond_real"], cond, atol=1e-6)
    uncond, cond = apply(fake, sentence)
    np.testing.assert_allclose(logits["fake"], uncond, atol=1e-6)
    np.testing.assert_allclose(logits["cond_fake"], cond, atol=1e-6)
    _, wrong = apply(real[:-1], sentence[1:])
    np.testing.assert_allclose(logits["cond_wrong"], wrong, atol=1e-6)
    assert "cond_wrong" not in pairs(wrong_pairs=False)


@pytest.mark.parametrize(
    ("norm", "leaves"),
    [("batch", {"mean", "var"}), ("spectral", {"u"}), ("none", set())],
)
def test_norm_decides_the_state(norm, leaves):
    _, variables, _, _ = make(norm=norm)
    paths = jax.tree_util.tree_leaves_with_path(variables.get("batch_stats", {}))
    assert {path[-1].key for path, _ in paths} == leaves


def test_sentence_dim_projects_the_sentence():
    _, variables, _, _ = make(sentence_dim=2)
    params = variables["params"]
    assert params["sentence"]["kernel"].shape == (6, 2)
    assert params["joint"]["conv"]["kernel"].shape == (3, 3, 32 + 2, 32)


@pytest.mark.parametrize(
    ("kwargs", "message"), [({"size": 48}, "image_size = 48"), ({"norm": "x"}, "'x'")]
)
def test_unsupported_settings_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


def test_images_of_another_size_are_refused():
    module, variables, _, sentence = make()
    with pytest.raises(ValueError, match="image_size = 16"):
        module.apply(variables, jnp.zeros((3, 32, 32, 3)), sentence, train=False)
