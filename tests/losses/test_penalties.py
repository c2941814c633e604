"""Gradient penalties against closed forms and differences, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mirrorgan_jax.losses import penalties
from mirrorgan_jax.models import discriminators


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def pairs():
    """(images, sentences) of three pairs."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 8, 8, 3)), rng.normal(size=(3, 5))


def linear(params, images, sentences):
    a, b = params
    return jnp.einsum("bhwc,hwc->b", images, a) + sentences @ b


@pytest.mark.parametrize("form", penalties.FORMS)
def test_penalty_of_a_linear_discriminator_and_its_slope(pairs, form):
    rng = np.random.default_rng(1)
    a, b = 0.1 * rng.normal(size=(8, 8, 3)), rng.normal(size=5)

    def penalty(params):
        return penalties.gradient_penalty(
            lambda *pair: linear(params, *pair), *pairs, form=form
        )

    value, slopes = jax.value_and_grad(penalty)((a, b))
    image, sentence = np.linalg.norm(a), np.linalg.norm(b)
    if form == "r1":
        np.testing.assert_allclose(value, image**2 / 2)
        np.testing.assert_allclose(slopes[0], a)
        np.testing.assert_array_equal(slopes[1], 0)
    else:
        np.testing.assert_allclose(value, (image + sentence) ** 6)
        steepness = 6 * (image + sentence) ** 5
        np.testing.assert_allclose(slopes[0], steepness * a / image)
        np.testing.assert_allclose(slopes[1], steepness * b / sentence)


@pytest.mark.parametrize("form", penalties.FORMS)
def test_penalty_is_the_mean_over_the_images(pairs, form):
    def judge(images, sentences):
        # Gradients of an image are the image, those of a sentence ten times it.
        images, sentences = images.reshape(3, -1), sentences
        return (images**2).sum(1) / 2 + 5 * (sentences**2).sum(1)

    images, sentences = (np.linalg.norm(x.reshape(3, -1), axis=1) for x in pairs)
    wanted = images**2 / 2 if form == "r1" else (images + 10 * sentences) ** 6
    actual = penalties.gradient_penalty(judge, *pairs, form=form)
    np.testing.assert_allclose(actual, wanted.mean())


@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_penalty_of_a_discriminator_equals_differences(pairs, norm):
    module = discriminators.Discriminator(
        8, ndf=2, norm=norm, sentence_dim=3, param_dtype=jnp.float64
    )
    variables = module.init(jax.random.key(0), *pairs, train=False)

    @jax.jit
    def judge(images, sentences):
        return sum(module.apply(variables, images, sentences, train=True))

    def norms(which):
        """Norm of each pair's gradient, from both sides of each number."""
        x, step = pairs[which], 1e-6
        directions = step * np.eye(x[0].size).reshape(-1, 1, *x.shape[1:])

        def at(x):
            return judge(*(pairs[0], x) if which else (x, pairs[1]))

        ahead, behind = (jax.vmap(at)(x + s * directions) for s in (1, -1))
        return np.linalg.norm((ahead - behind) / (2 * step), axis=0)

    images, sentences = norms(0), norms(1)
    for form, wanted in (
        ("r1", images**2 / 2),
        ("ma_gp", (images + sentences) ** 6),
    ):
        actual = penalties.gradient_penalty(judge, *pairs, form=form)
        np.testing.assert_allclose(actual, wanted.mean(), rtol=1e-5, err_msg=form)


def test_slope_is_finite_where_there_is_no_gradient(pairs):
    slopes = jax.grad(
        lambda params: penalties.gradient_penalty(
            lambda *pair: linear(params, *pair), *pairs, form="ma_gp"
        )
    )((np.zeros((8, 8, 3)), np.zeros(5)))
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_unknown_form_is_refused(pairs):
    with pytest.raises(ValueError, match="'gp': one of r1, ma_gp"):
        penalties.gradient_penalty(lambda *pair: pair[1][:, 0], *pairs, form="gp")
