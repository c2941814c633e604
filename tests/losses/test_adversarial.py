"""Adversarial, KL and captioning losses against their equations in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import parity

from mirrorgan_jax.losses import adversarial, captioning
from mirrorgan_jax.models import convolution, discriminators, layers, stream
from mirrorgan_jax.weights import names

TERMS = ("real", "cond_real", "fake", "cond_fake", "cond_wrong")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def logits():
    rng = np.random.default_rng(0)
    return {k: rng.normal(size=4 - (k == "cond_wrong")) for k in TERMS}


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("weighting", ["half", "mean"])
def test_discriminator_loss_equals_equation(logits, weighting, wrong):
    if not wrong:
        del logits["cond_wrong"]
    real = [-np.log(sigmoid(logits[k])).mean() for k in TERMS[:2]]
    fake = [-np.log(1 - sigmoid(logits[k])).mean() for k in TERMS[2:] if k in logits]
    if weighting == "half":
        expected = (sum(real) + sum(fake)) / 2
    else:
        expected = np.mean(real) + np.mean(fake)
    loss, terms = adversarial.discriminator_loss(logits, weighting=weighting)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(
        [terms[k] for k in TERMS if k in logits], real + fake, rtol=1e-6
    )


@pytest.mark.parametrize("weighting", ["half", "mean"])
def test_hinge_loss_of_a_discriminator_and_its_slopes_equal_the_equation(
    logits, weighting
):
    def loss(logits):
        return adversarial.discriminator_loss(logits, weighting=weighting, form="hinge")

    terms = {k: np.maximum(0, 1 - logits[k]).mean() for k in TERMS[:2]}
    terms |= {k: np.maximum(0, 1 + logits[k]).mean() for k in TERMS[2:]}
    factors = {k: 1 / 2 for k in TERMS}
    if weighting == "mean":
        factors = {k: 1 / 2 if k in TERMS[:2] else 1 / 3 for k in TERMS}
    with jax.enable_x64(True):
        (value, found), slopes = jax.value_and_grad(loss, has_aux=True)(logits)
    np.testing.assert_allclose(value, sum(factors[k] * terms[k] for k in TERMS))
    for k in TERMS:
        np.testing.assert_allclose(found[k], terms[k])
        sign = -1 if k in TERMS[:2] else 1
        beyond = 1 + sign * logits[k] > 0
        slope = sign * beyond * factors[k] / len(logits[k])
        np.testing.assert_allclose(slopes[k], slope)
    assert {*(logits["cond_fake"] > -1)} == {True, False}  # beyond the hinge and not


def test_hinge_loss_of_the_generator_is_the_negative_logit(logits):
    def loss(*pair):
        return adversarial.generator_loss(*pair, scale=0.5, form="hinge")

    pair = logits["fake"], logits["cond_fake"]
    with jax.enable_x64(True):
        value, slopes = jax.value_and_grad(loss, (0, 1))(*pair)
    np.testing.assert_allclose(value, -0.5 * (pair[0].mean() + pair[1].mean()))
    np.testing.assert_allclose(slopes, np.full((2, 4), -0.5 / 4))


def test_unknown_form_is_refused(logits):
    with pytest.raises(ValueError, match="'wgan': one of bce, hinge"):
        adversarial.discriminator_loss(logits, weighting="half", form="wgan")
    with pytest.raises(ValueError, match="'wgan': one of bce, hinge"):
        adversarial.generator_loss(logits["fake"], logits["fake"], scale=1, form="wgan")


def test_discriminator_loss_refuses_unknown_names(logits):
    with pytest.raises(ValueError, match="weighting"):
        adversarial.discriminator_loss(logits, weighting="sum")
    with pytest.raises(ValueError, match="uncond"):
        adversarial.discriminator_loss({"uncond": 0}, weighting="half")


def test_losses_stay_finite_at_large_logits():
    big = jnp.array([200.0, -200.0])
    loss, slope = jax.value_and_grad(
        lambda x: adversarial.generator_loss(x, x, scale=0.5)
    )(big)
    np.testing.assert_allclose(loss, 100.0, rtol=1e-6)
    np.testing.assert_allclose(slope, [0.0, -0.5], atol=1e-6)


def test_bfloat16_logits_give_float32_loss():
    x = jnp.ones(3, jnp.bfloat16)
    assert adversarial.generator_loss(x, x, scale=1.0).dtype == jnp.float32


def test_kl_equals_closed_form():
    mu, logvar = np.array([[0.0, 2.0]]), np.array([[0.0, np.log(4.0)]])
    expected = (0 + 0.5 * (2.0**2 + 4 - 1 - np.log(4.0))) / 2
    np.testing.assert_allclose(
        adversarial.kl_divergence(jnp.array(mu), jnp.array(logvar)), expected, rtol=1e-6
    )


def test_kl_equals_reference():
    fixture = parity.load("02_ca_net")
    actual = adversarial.kl_divergence(fixture["out/mu"], fixture["out/logvar"])
    np.testing.assert_allclose(actual, fixture["out/kl"], rtol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_caption_loss_equals_equation_and_ignores_padding(reduction):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3, 5, 7)).astype(np.float32)
    tokens, length = rng.integers(1, 7, (3, 5)), np.array([5, 2, 1])
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    total = -sum(
        np.log(chance[b, t, tokens[b, t]]) for b in range(3) for t in range(length[b])
    )
    expected = total / (8 if reduction == "mean" else 3)
    for value in (0.0, 50.0):
        logits[1, 2:], logits[2, 1:] = value, -value
        actual = captioning.caption_loss(logits, tokens, length, reduction=reduction)
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_caption_loss_refuses_unknown_reduction():
    with pytest.raises(ValueError, match="'mean', 'sum'"):
        captioning.caption_loss(
            jnp.zeros((1, 1, 2)), jnp.ones((1, 1), int), jnp.ones(1), reduction="max"
        )


@pytest.mark.parametrize("level", [0, 1, 2])
def test_discriminator_loss_equals_reference(level):
    fixture = parity.load("06c_d_loss")
    size = 64 * 2**level
    modules = names.discriminator(size)
    tree = names.to_tree(fixture.state(f"D{level}."), modules)
    model = discriminators.Discriminator(size, ndf=4)
    real, fake = (parity.nhwc(fixture[f"in/{k}{level}"]) for k in ("real", "fake"))
    logits, _ = model.apply(
        tree,
        real,
        fake,
        fixture["in/sent_emb"],
        wrong_pairs=True,
        train=True,
        mutable=["batch_stats"],
        method="pairs",
    )
    loss, terms = adversarial.discriminator_loss(logits, weighting="mean")
    fixture.assert_close(loss, f"out/errD{level}")
    order = ("cond_real", "cond_fake", "cond_wrong", "real", "fake")
    fixture.assert_close(np.stack([terms[k] for k in order]), f"out/terms{level}")


def stub(params, images):
    """The captioning CNN of fixture 06d."""
    x = images.reshape(-1, 32, 8, 32, 8, 3).mean((2, 4))
    for name in ("conv1", "conv2"):
        x = convolution.convolve(x, params[name]["kernel"], 2)
        x = jnp.tanh(x + layers.aligned(params[name]["bias"], x))
    return x.mean((1, 2)) @ params["linear"]["kernel"] + params["linear"]["bias"][None]


def test_generator_loss_and_its_gradients_equal_reference():
    fixture = parity.load("06d_g_loss")
    heads = {name: (name,) for name in ("conv1", "conv2", "linear")}
    cnn = names.to_tree(fixture.state("stub."), heads)["params"]
    rnn = names.to_tree(fixture.state("crnn."), names.caption_decoder())
    decoder = stream.CaptionDecoder(23, embed_dim=16, hidden_dim=32)

    def loss(images):
        terms = []
        for level, image in enumerate(images):
            size = 64 * 2**level
            model = discriminators.Discriminator(size, ndf=4)
            tree = names.to_tree(fixture.state(f"D{level}."), names.discriminator(size))
            (uncond, cond), _ = model.apply(
                tree, image, fixture["in/sent_emb"], train=True, mutable=["batch_stats"]
            )
            terms.append(adversarial.generator_loss(uncond, cond, scale=1.0))
        features = stub(cnn, images[-1])
        seen = stream.Seen(features)
        logits = decoder.apply(rnn, seen, fixture["in/captions"]).logits
        caption = captioning.caption_loss(
            logits, fixture["in/captions"], fixture["in/cap_lens"], reduction="mean"
        )
        return sum(terms) + 10 * caption, (jnp.stack(terms), features, caption)

    images = [parity.nhwc(fixture[f"in/fake{level}"]) for level in range(3)]
    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (total, (terms, features, caption)), grads = gradient(images)
    np.testing.assert_allclose(
        terms, fixture["out/terms"].reshape(3, 2).sum(1), rtol=2e-6
    )
    fixture.assert_close(features, "out/caption_feature")
    fixture.assert_close(caption, "out/caption_loss_unscaled")
    fixture.assert_close(total, "out/errG_without_kl")
    for level, grad in enumerate(grads):
        stride = 2**level
        maps = np.asarray(grad)[:, ::stride, ::stride].transpose(0, 3, 1, 2)
        fixture.assert_close(maps, f"out/grad_fake{level}_stride{stride}")
