"""Full-size STEM, GLAM and discriminators against the authors' code (fixtures 09)."""

import functools

import jax
import numpy as np
import pytest
from support import parity, parity_networks, weight_rule

from mirrorgan_jax.models import discriminators, glam, stem
from mirrorgan_jax.weights import names

pytestmark = pytest.mark.full

SIZES = (64, 128, 256)


def test_full_size_generator_matches_reference(tmp_path):
    fixture = parity.load("09d_full_g_net")
    salt = fixture.meta["salt"]

    def gain(name):
        if ".img.0." in name:
            return 0.5
        return 1.0 if "conv_context" in name else 2.0

    tensors = weight_rule.weights(
        salt, weight_rule.table("G_NET"), gain, small_norms=[".block.4.weight"]
    )
    modules = names.generator(3)
    variables = parity_networks.imported(tmp_path, tensors, modules)
    draw = functools.partial(weight_rule.inputs, salt)
    inputs = (
        draw("z", (2, 100), np.sqrt(3)),
        draw("eps", (2, 100), np.sqrt(3)),
        draw("sent_emb", (2, 256)),
        draw("words_emb", (2, 256, 18)).swapaxes(1, 2),
        np.tile(np.arange(18) < fixture.meta["nmask"], (2, 1)),
    )
    views = parity_networks.generator_views(
        {
            "img0_stride1": ("images", 0, 1),
            "img1_stride2": ("images", 1, 2),
            "img2_stride4": ("images", 2, 4),
            "att0_stride4": ("word_attention", 0, 4),
            "att1_stride8": ("word_attention", 1, 8),
        }
    )
    module = glam.Generator(sentence_conv=True)
    parity_networks.assert_generator(fixture, module, variables, inputs, views, modules)


@pytest.mark.parametrize("size", SIZES)
def test_full_size_discriminator_matches_reference(tmp_path, size):
    fixture = parity.load("09e_full_d_nets")
    salt = fixture.meta["salt"]
    tensors = weight_rule.weights(
        f"{salt}/D{size}", weight_rule.table(f"D_NET{size}"), np.sqrt(2)
    )
    variables = parity_networks.imported(tmp_path, tensors, names.discriminator(size))
    module = discriminators.Discriminator(size)
    image = weight_rule.inputs(salt, f"img{size}", (2, 3, size, size))
    sentence = weight_rule.inputs(salt, "sent_emb", (2, 256))
    for mode in ("eval", "train"):
        args = variables, parity.nhwc(image)
        train = mode == "train"
        logits = parity_networks.run(module, *args, sentence, train=train)
        features = parity_networks.run(module, *args, train=train, method="features")
        if train:
            (logits, _), (features, _) = logits, features
        fixture.assert_close(
            parity_networks.nchw(features), f"out/{mode}{size}_features"
        )
        for key, value in zip(("uncond", "cond"), logits, strict=True):
            fixture.assert_close(jax.nn.sigmoid(value), f"out/{mode}{size}_{key}_prob")


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_full_size_text_encoder_matches_reference(tmp_path, cell):
    fixture = parity.load("09f_full_rnn_encoder")
    salt, length = fixture.meta["salt"], np.array(fixture.meta["cap_lens"])
    table = weight_rule.table("RNN_ENCODER_LSTM_5450_256")
    if cell == "GRU":
        table = {
            k: s if k == "encoder.weight" else (s[0] * 3 // 4, *s[1:])
            for k, s in table.items()
        }
    tensors = weight_rule.weights(salt, table, 1.5)
    tokens = 1 + (weight_rule.uniform(f"{salt}/input/captions", (2, 18)) + 1) / 2 * 5449
    tokens = np.where(np.arange(18) < length[:, None], tokens, 0).astype(np.int32)
    variables = parity_networks.imported(tmp_path, tensors, names.text_encoder())
    module = stem.TextEncoder(5450, cell=cell.lower())
    words, sentence = parity_networks.run(
        module, variables, tokens, length, train=False
    )
    fixture.assert_close(words.swapaxes(1, 2), f"out/{cell}_words_emb")
    fixture.assert_close(sentence, f"out/{cell}_sent_emb")


def test_weight_rule_matches_its_check_values():
    expected = [
        0.14226930402219296,
        -0.4319196022115648,
        0.6626120805740356,
        -0.9710849747061729,
    ]
    np.testing.assert_array_equal(weight_rule.uniform("check", (4,)), expected)
