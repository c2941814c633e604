"""L_G as the sum of its weighted terms, recombined in NumPy (Eq. 7-9)."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from mirrorgan_jax.losses import augmentation, damsm, objective
from mirrorgan_jax.models import build, discriminators, stem

VOCAB, SIZES = 5, (4, 8)
GAMMAS = (4.0, 5.0, 10.0)
UNCHANGED = {kind: {} for kind in augmentation.KINDS}


class Judge(nn.Module):
    """A discriminator: the image's mean, and that times the sentence's first number."""

    @nn.compact
    def __call__(self, images, sentence, *, train):
        mean = images.mean((1, 2, 3))
        return mean, mean * sentence[:, 0]


class Captioner(nn.Module):
    """A STREAM whose words are the likelier the larger their id in a bright image."""

    @nn.compact
    def __call__(self, images, tokens, *, train):
        logits = images.mean((1, 2, 3))[:, None, None] * np.arange(VOCAB)[None, None]
        return logits.repeat(tokens.shape[1], 1)


class Tower(nn.Module):
    """An image tower: rows of the image are regions, their mean the code."""

    @nn.compact
    def __call__(self, images, *, train):
        regions = images.mean(2)
        return regions, regions.mean(1)


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.fixture
def inputs():
    """(images, mu, logvar, captions) of three captions of at most four words."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    length = np.array([4, 2, 3])
    mask = np.arange(4)[None] < length[:, None]
    tokens = np.where(mask, rng.integers(1, VOCAB, (3, 4)), 0)
    captions = stem.Captions(
        normal(3, 4, 3), normal(3, 3), mask, tokens, length, np.arange(3)
    )
    images = tuple(normal(3, size, size, 3) + 0.5 for size in SIZES)
    return images, normal(3, 2), normal(3, 2), captions


def weights_of(**changes):
    return objective.Weights(
        **{
            "adversarial_scale": 0.5, "discriminator_weighting": "half",
            "wrong_pairs": True, "lambda_stream": 7.0, "caption_reduction": "mean",
            "kl_weight": 3.0, "lambda_damsm": 2.0, "gammas": GAMMAS, **changes,
        }
    )  # fmt: skip


def loss_of(inputs, *, numbers=UNCHANGED, scale=1.0, warmth=1.0, **changes):
    """((loss, terms), gradients of images, mu and logvar)."""
    images, mu, logvar, captions = inputs
    networks = build.Networks(
        text_encoder=None,
        captioner=Captioner(),
        generator=None,
        discriminators={f"D{size}": Judge() for size in SIZES},
        image_encoder=Tower(),
    )
    weights = weights_of(**changes)

    @jax.jit
    def gradient(*made):
        def loss(*made):
            return objective.generator_loss(
                networks, weights, *made, dict.fromkeys(networks.discriminators, {}),
                {"stream": {}, "image": {}}, captions, numbers, scale, warmth,
            )  # fmt: skip

        return jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(*made)

    (loss, (terms, _)), grads = gradient(images, mu, logvar)
    return loss, terms, grads


def expected_terms(inputs):
    images, mu, logvar, captions = inputs
    terms = {}
    for size, image in zip(SIZES, images, strict=True):
        mean = image.mean((1, 2, 3))
        pairs = mean * captions.sentence[:, 0]
        value = softplus(-mean).mean() + softplus(-pairs).mean()
        terms[f"G/adversarial_D{size}"] = 0.5 * value
    logits = images[-1].mean((1, 2, 3))[:, None] * np.arange(VOCAB)
    word = np.log(np.exp(logits).sum(1))[:, None] - np.take_along_axis(
        logits, captions.tokens, 1
    )
    terms["G/caption"] = word[captions.mask].mean()
    regions = images[-1].mean(2)
    terms["G/damsm"] = damsm.damsm_loss(
        regions, captions.words, captions.mask, regions.mean(1), captions.sentence,
        captions.class_id, **{f"gamma{i}": g for i, g in enumerate(GAMMAS, 1)},
    )[0]  # fmt: skip
    terms["G/kl"] = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).mean()
    return terms


def test_generator_loss_is_the_weighted_sum_of_its_terms(inputs):
    loss, terms, _ = loss_of(inputs)
    expected = expected_terms(inputs)
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-5, err_msg=name)
    factors = {"G/caption": 7.0, "G/damsm": 2.0, "G/kl": 3.0}
    total = sum(factors.get(name, 1.0) * value for name, value in expected.items())
    np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_divergence_of_the_condition_is_pulled_down(inputs):
    _, _, (_, mu, logvar) = loss_of(inputs)
    np.testing.assert_allclose(mu, 3 * inputs[1] / inputs[1].size, rtol=1e-5)
    slope = 3 * 0.5 * (np.exp(inputs[2]) - 1) / inputs[2].size
    np.testing.assert_allclose(logvar, slope, rtol=1e-4, atol=1e-6)


def test_mirror_weighs_lambda_on_the_last_stage_alone(inputs):
    _, _, (once, _, _) = loss_of(inputs, lambda_stream=1.0)
    _, _, (thrice, _, _) = loss_of(inputs, lambda_stream=3.0)
    _, _, (scaled, _, _) = loss_of(inputs, lambda_stream=1.0, scale=3.0)
    _, _, (none, _, _) = loss_of(inputs, lambda_stream=0.0)
    np.testing.assert_array_equal(once[0], none[0])
    mirror = once[1] - none[1]
    assert np.abs(mirror).max() > 1e-4
    np.testing.assert_allclose(thrice[1] - none[1], 3 * mirror, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(scaled[1], thrice[1], rtol=1e-5, atol=1e-8)


def test_end_of_a_caption_is_one_more_word_of_the_mirror(inputs):
    _, terms, _ = loss_of(inputs, end_token=True)
    images, _, _, captions = inputs
    logits = images[-1].mean((1, 2, 3))[:, None] * np.arange(VOCAB)
    normal = np.log(np.exp(logits).sum(1))
    total = 0.0
    for row, length in enumerate(captions.length):
        words = [*captions.tokens[row, :length], 0]
        total += sum(normal[row] - logits[row, word] for word in words)
    # 4 + 2 + 3 words and three ends, that of the longest caption too.
    np.testing.assert_allclose(terms["G/caption"], total / 12, rtol=1e-5)


def test_terms_of_weight_zero_are_not_computed(inputs):
    _, terms, _ = loss_of(inputs, lambda_stream=0.0, lambda_damsm=0.0)
    assert set(terms) == {"G/adversarial_D4", "G/adversarial_D8", "G/kl"}


def test_warmth_is_a_share_of_lambda_and_leaves_the_term(inputs):
    _, cold_terms, (cold, _, _) = loss_of(inputs, warmth=0.25, lambda_stream=8.0)
    _, terms, (whole, _, _) = loss_of(inputs, lambda_stream=2.0)
    np.testing.assert_allclose(cold[1], whole[1], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(cold_terms["G/caption"], terms["G/caption"], rtol=1e-6)


def test_hinge_reaches_the_generator(inputs):
    _, terms, _ = loss_of(inputs, adversarial_loss="hinge")
    for size, image in zip(SIZES, inputs[0], strict=True):
        mean = image.mean((1, 2, 3))
        wanted = -0.5 * (mean.mean() + (mean * inputs[3].sentence[:, 0]).mean())
        np.testing.assert_allclose(terms[f"G/adversarial_D{size}"], wanted, rtol=1e-5)


def test_discriminators_alone_see_augmented_images(inputs):
    numbers = augmentation.draw(jax.random.key(0), 3, "color")
    _, plain, _ = loss_of(inputs)
    _, terms, _ = loss_of(inputs, numbers=numbers)
    changed = tuple(augmentation.apply(x, numbers["judged"]) for x in inputs[0])
    _, wanted, _ = loss_of((changed, *inputs[1:]))
    for size in SIZES:
        name = f"G/adversarial_D{size}"
        assert abs(terms[name] - plain[name]) > 1e-3
        np.testing.assert_allclose(terms[name], wanted[name], rtol=1e-5)
    for name in ("G/caption", "G/damsm"):
        np.testing.assert_allclose(terms[name], plain[name], rtol=1e-6)


@pytest.fixture(scope="module")
def judged():
    """`loss(real, fake, numbers, **changes)` of a small D, and two batches."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 3, 8, 8, 3)).astype(np.float32)
    sentence = rng.normal(size=(3, 5)).astype(np.float32)
    module = discriminators.Discriminator(8, ndf=4, norm="spectral")
    variables = module.init(jax.random.key(0), real, sentence, train=False)

    def loss(real, fake, numbers=UNCHANGED, **changes):
        return objective.discriminator_loss(
            module, variables, real, fake, sentence, weights_of(**changes), numbers
        )

    return loss, real, fake


def test_penalty_is_added_by_its_weight_and_moves_no_statistics(judged):
    loss, real, fake = judged
    plain, (terms, statistics) = loss(real, fake)
    changes = {"gradient_penalty": "r1", "penalty_weight": 7.0}
    value, (with_penalty, after) = loss(real, fake, **changes)
    penalty = with_penalty.pop("penalty")
    assert penalty > 1e-3 and with_penalty.keys() == terms.keys()
    np.testing.assert_allclose(value, plain + 7 * penalty, rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, after, statistics)
    # Of real images: others as fakes change nothing.
    _, (again, _) = loss(real, -fake, **changes)
    np.testing.assert_allclose(again["penalty"], penalty, rtol=1e-6)


def test_wrong_pairs_show_their_real_images_augmentation(judged):
    loss, real, fake = judged
    numbers = augmentation.draw(jax.random.key(1), 3, "color,translation,cutout")
    changes = {"gradient_penalty": "ma_gp", "penalty_weight": 1.0}
    value, (terms, _) = loss(real, fake, numbers, **changes)
    before = (
        augmentation.apply(real, numbers["real"]),
        augmentation.apply(fake, numbers["fake"]),
    )
    wanted, (wanted_terms, _) = loss(*before, **changes)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    assert "cond_wrong" in terms
    for name, term in wanted_terms.items():
        np.testing.assert_allclose(terms[name], term, rtol=1e-5, err_msg=name)
