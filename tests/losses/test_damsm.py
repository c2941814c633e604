"""DAMSM losses: reference fixture, NumPy oracle, padding, batch order, devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import parity

from mirrorgan_jax.losses import damsm

GAMMAS = {"gamma1": 4.0, "gamma2": 5.0, "gamma3": 10.0}


@pytest.fixture(scope="module")
def fixture():
    return parity.load("07a_damsm")


def inputs(fixture):
    regions = parity.nhwc(fixture["in/img_features"]).reshape(4, 289, 16)
    words = fixture["in/words_emb"].transpose(0, 2, 1)
    mask = np.arange(18) < fixture["in/cap_lens"][:, None]
    return regions, words, mask, fixture["in/cnn_code"], fixture["in/sent_emb"]


def test_word_attention_equals_reference(fixture):
    regions, words, mask, _, _ = inputs(fixture)
    for i in range(4):
        weights = damsm.word_attention(words[i], regions[i], mask[i], 4.0)[1]
        count = fixture["in/cap_lens"][i]
        maps = np.asarray(weights)[:count].reshape(count, 17, 17)
        fixture.assert_close(maps, f"out/att_map_sample{i}")


@pytest.mark.parametrize("group", ["class", "noclass"])
def test_losses_equal_reference(fixture, group):
    class_id = fixture["in/class_ids"] if group == "class" else None
    total, losses = damsm.damsm_loss(*inputs(fixture), class_id, **GAMMAS)
    keys = ("w_loss0", "w_loss1", "s_loss0", "s_loss1")
    names = ("word0", "word1", "sentence0", "sentence1")
    for key, name in zip(keys, names, strict=True):
        fixture.assert_close(losses[name], f"out/{group}_{key}")
    np.testing.assert_allclose(total, sum(losses.values()), rtol=1e-6)


def test_similarity_equals_reference(fixture):
    regions, words, mask, _, _ = inputs(fixture)
    scores = damsm.word_similarity(regions, words, mask, gamma1=4.0, gamma2=5.0)
    fixture.assert_close(10.0 * scores, "out/noclass_word_similarity")


def test_gradients_equal_reference(fixture):
    regions, words, mask, code, sentence = inputs(fixture)

    def loss(regions, words, code, sentence):
        return damsm.damsm_loss(
            regions, words, mask, code, sentence, fixture["in/class_ids"], **GAMMAS
        )[0]

    grads = jax.grad(loss, argnums=(0, 1, 2, 3))(regions, words, code, sentence)
    maps = np.asarray(grads[0]).reshape(4, 17, 17, 16).transpose(0, 3, 1, 2)
    fixture.assert_close(maps, "out/grad_class_img_features")
    fixture.assert_close(grads[1].transpose(0, 2, 1), "out/grad_class_words_emb")
    fixture.assert_close(grads[2], "out/grad_class_cnn_code")
    fixture.assert_close(grads[3], "out/grad_class_sent_emb")


def test_padding_is_ignored_and_its_gradient_is_zero(fixture):
    regions, words, mask, code, sentence = inputs(fixture)

    def loss(words):
        return damsm.damsm_loss(regions, words, mask, code, sentence, None, **GAMMAS)[0]

    zeroed = np.where(mask[..., None], words, 0)
    value, grad = jax.value_and_grad(loss)(zeroed)
    np.testing.assert_array_equal(value, loss(np.where(mask[..., None], words, 7.0)))
    assert np.isfinite(grad).all()
    assert not np.asarray(grad)[~mask].any()
    assert np.asarray(grad)[mask].all()


def test_many_captions_equal_few_at_a_time(fixture):
    regions, words, mask, _, _ = inputs(fixture)
    # More than are taken at once: a whole chunk, and one of two.
    words = np.resize(words, (50, *words.shape[1:]))
    words += np.arange(50, dtype=np.float32)[:, None, None] / 50
    mask = np.resize(mask, (50, mask.shape[1]))

    def scores(rows):
        return damsm.word_similarity(
            regions, words[rows], mask[rows], gamma1=4.0, gamma2=5.0
        )

    parts = np.concatenate([scores(slice(i, i + 10)) for i in range(0, 50, 10)], 1)
    np.testing.assert_allclose(scores(slice(None)), parts, rtol=1e-6)


def test_same_class_pairs_do_not_count(fixture):
    _, _, _, code, sentence = inputs(fixture)
    class_id = np.zeros(4, int)
    losses = damsm.sentence_loss(code, sentence, class_id, gamma3=10.0)
    np.testing.assert_array_equal(losses, 0)
    batch = jnp.arange(4)
    losses = damsm.sentence_loss(code, sentence, batch, gamma3=10.0)
    expected = damsm.sentence_loss(code, sentence, None, gamma3=10.0)
    np.testing.assert_array_equal(losses, expected)
