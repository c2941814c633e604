"""STEM, GLAM and the discriminators against the authors' code (fixtures 01-06)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import parity, parity_networks

from mirrorgan_jax.models import attention, discriminators, glam, stem
from mirrorgan_jax.weights import names

DISCRIMINATORS = {64: "05a_d_net64", 128: "05b_d_net128", 256: "05c_d_net256"}
SIZES = (64, 128, 256)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_text_encoder_matches_reference(cell):
    number = {"lstm": "01a", "gru": "01b"}[cell]
    fixture = parity.load(f"{number}_rnn_encoder_{cell}")
    variables = names.to_tree(fixture.state(), names.text_encoder())
    module = stem.TextEncoder(23, word_dim=16, cell=cell)
    for suffix in ("", "_b"):
        words, sentence = parity_networks.run(
            module,
            variables,
            fixture[f"in/captions{suffix}"].astype(np.int32),
            fixture[f"in/cap_lens{suffix}"].astype(np.int32),
            train=False,
        )
        width = fixture[f"out/words_emb{suffix}"].shape[2]
        assert not np.any(words[:, width:])
        transposed = np.asarray(words).swapaxes(1, 2)[:, :, :width]
        fixture.assert_close(transposed, f"out/words_emb{suffix}")
        fixture.assert_close(sentence, f"out/sent_emb{suffix}")


def test_conditioning_augmentation_matches_reference():
    fixture = parity.load("02_ca_net")
    modules = names.conditioning()
    variables = names.to_tree(fixture.state(), modules)
    module = stem.ConditioningAugmentation(100)

    def divergence(variables, sentence):
        out = module.apply(variables, sentence, fixture["in/eps"])
        _, mu, logvar = out
        return -0.5 * jnp.mean(1 + logvar - mu**2 - jnp.exp(logvar)), out

    (kl, out), (grads, sentence_grad) = jax.value_and_grad(
        divergence, (0, 1), has_aux=True
    )(variables, fixture["in/sent_emb"])
    for key, value in zip(("c_code", "mu", "logvar"), out, strict=True):
        fixture.assert_close(value, f"out/{key}")
    fixture.assert_close(kl, "out/kl")
    fixture.assert_close(sentence_grad, "out/grad_kl_sent_emb")
    for name, value in names.to_state_dict(grads, modules).items():
        fixture.assert_close(value, f"out/grad_kl/{name}")


def attend(fixture, variables, sentence, features, words, mask):
    module = attention.GlobalLocalAttention(sentence_conv=True)
    return module.apply(variables, features, sentence, words, mask)


@pytest.mark.parametrize("case", ["nomask", "same", "persample", "batched_corrected"])
def test_attention_matches_reference(case):
    fixture = parity.load("03_gl_attention")
    variables = names.to_tree(fixture.state(), names.attention())
    masks = {"nomask": None, "same": ~fixture["in/mask_same"]}
    (word, sentence), word_map, sentence_map = attend(
        fixture,
        variables,
        fixture["in/sentence"],
        parity.nhwc(fixture["in/input"]),
        fixture["in/context"].swapaxes(1, 2),
        masks.get(case, ~fixture["in/mask_diff"]),
    )
    fixture.assert_close(parity_networks.nchw(word), f"out/{case}_weightedContext")
    fixture.assert_close(parity_networks.nchw(sentence), f"out/{case}_weightedSentence")
    fixture.assert_close(parity_networks.nchw(word_map), f"out/{case}_word_attn")
    fixture.assert_close(parity_networks.nchw(sentence_map), f"out/{case}_sent_att")


def test_attention_gradients_match_reference():
    fixture = parity.load("03_gl_attention")
    modules = names.attention()
    mask = ~fixture["in/mask_same"]

    def loss(variables, sentence, features, words):
        contexts, _, _ = attend(fixture, variables, sentence, features, words, mask)
        targets = (parity.nhwc(fixture[f"in/r_{k}"]) for k in ("word", "sent"))
        return sum((c * r).sum() for c, r in zip(contexts, targets, strict=True))

    grads, sentence, features, words = jax.grad(loss, (0, 1, 2, 3))(
        names.to_tree(fixture.state(), modules),
        fixture["in/sentence"],
        parity.nhwc(fixture["in/input"]),
        fixture["in/context"].swapaxes(1, 2),
    )
    fixture.assert_close(parity_networks.nchw(features), "out/grad_same/input")
    fixture.assert_close(sentence, "out/grad_same/sentence")
    fixture.assert_close(words.swapaxes(1, 2), "out/grad_same/context")
    for name, value in names.to_state_dict(grads, modules).items():
        fixture.assert_close(value, f"out/grad_same/{name}")


@pytest.mark.parametrize("train", [False, True])
def test_initial_stage_matches_reference(train):
    fixture = parity.load("04a_init_stage_g")
    modules = names.initial_stage()
    variables = names.to_tree(fixture.state(), modules)
    out = parity_networks.run(
        glam.InitialStage(64, 4),
        variables,
        fixture["in/c_code"],
        fixture["in/z"],
        train=train,
    )
    if train:
        out, state = out
        parity_networks.assert_statistics(fixture, state, modules, "out/train_state/")
    fixture.assert_close(
        parity_networks.nchw(out), f"out/{'train' if train else 'eval'}_h_code"
    )


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_next_stage_matches_reference(mode):
    fixture = parity.load("04b_next_stage_g")
    modules = names.next_stage()
    out = parity_networks.run(
        glam.NextStage(2, "channel", True, True, True),
        names.to_tree(fixture.state("stage."), modules),
        parity.nhwc(fixture["in/h_code"]),
        fixture["in/c_code"],
        fixture["in/words_emb"].swapaxes(1, 2),
        ~fixture["in/mask"],
        train=mode == "train",
    )
    if mode == "train":
        out, state = out
        parity_networks.assert_statistics(
            fixture, state, modules, "out/train_state/stage."
        )
    else:
        head = names.to_tree(fixture.state("img."), {"img.0": ("conv",)})
        image = glam.ImageHead().apply(head, out[0])
        fixture.assert_close(parity_networks.nchw(image), "out/eval_img")
    fixture.assert_close(parity_networks.nchw(out[0]), f"out/{mode}_h_code")
    fixture.assert_close(parity_networks.nchw(out[1]), f"out/{mode}_att")


def test_generator_matches_reference():
    fixture = parity.load("04c_g_net")
    modules = names.generator(3)
    variables = names.to_tree(fixture.state(), modules)
    module = glam.Generator(ngf=4, sentence_conv=True)
    text = fixture["in/sent_emb"], fixture["in/words_emb"].swapaxes(1, 2)
    inputs = (fixture["in/z"], fixture["in/eps"], *text)
    views = parity_networks.generator_views(
        {
            "img0": ("images", 0, 1),
            "img1": ("images", 1, 1),
            "img2": ("images", 2, 1),
            "img0_stride1": ("images", 0, 1),
            "img2_stride2": ("images", 2, 2),
            "att0": ("word_attention", 0, 4),
            "att1": ("word_attention", 1, 4),
        }
    )
    mask = ~fixture["in/mask"]
    parity_networks.assert_generator(
        fixture, module, variables, (*inputs, mask), views, modules
    )
    out = parity_networks.run(
        module, variables, *inputs, ~fixture["in/mask_diff"], train=False
    )
    for i, stride in enumerate((1, 4, 8)):
        fixture.assert_close(
            parity_networks.nchw(out.images[i])[:, :, ::stride, ::stride],
            f"out/persample_img{i}_stride{stride}",
        )


@pytest.mark.parametrize("size", SIZES)
def test_discriminator_matches_reference(size):
    fixture = parity.load(DISCRIMINATORS[size])
    modules = names.discriminator(size)
    variables = names.to_tree(fixture.state(), modules)
    module = discriminators.Discriminator(size, ndf=4)
    image = parity.nhwc(fixture["in/img"])
    for mode in ("eval", "train"):
        train = mode == "train"
        logits = parity_networks.run(
            module, variables, image, fixture["in/sent_emb"], train=train
        )
        features = parity_networks.run(
            module, variables, image, train=train, method="features"
        )
        if train:
            (logits, state), (features, _) = logits, features
            parity_networks.assert_statistics(
                fixture, state, modules, "out/train_state/"
            )
        fixture.assert_close(parity_networks.nchw(features), f"out/{mode}_features")
        for key, value in zip(("uncond", "cond"), logits, strict=True):
            fixture.assert_close(value, f"out/{mode}_{key}_logit")
            fixture.assert_close(jax.nn.sigmoid(value), f"out/{mode}_{key}_prob")


def reference_loss(logits):
    """Loss and terms of the authors' discriminator, from logits."""
    terms = {k: jnp.mean(jax.nn.softplus(-v)) for k, v in logits.items()}
    for key in ("cond_fake", "cond_wrong", "fake"):
        terms[key] = jnp.mean(jax.nn.softplus(logits[key]))
    real = (terms["real"] + terms["cond_real"]) / 2
    fake = (terms["fake"] + terms["cond_fake"] + terms["cond_wrong"]) / 3
    order = ("cond_real", "cond_fake", "cond_wrong", "real", "fake")
    return real + fake, jnp.stack([terms[key] for key in order])


@pytest.mark.parametrize("i", [0, 1, 2])
def test_discriminator_pairs_match_reference(i):
    fixture = parity.load("06c_d_loss")
    modules = names.discriminator(SIZES[i])
    variables = names.to_tree(fixture.state(f"D{i}."), modules)
    module = discriminators.Discriminator(SIZES[i], ndf=4)
    images = [parity.nhwc(fixture[f"in/{k}{i}"]) for k in ("real", "fake")]

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def step(params):
        logits, state = module.apply(
            {**variables, "params": params},
            *images,
            fixture["in/sent_emb"],
            wrong_pairs=True,
            train=True,
            method="pairs",
            mutable=["batch_stats"],
        )
        loss, terms = reference_loss(logits)
        return loss, (terms, logits, state)

    (loss, (terms, logits, state)), grads = step(variables["params"])
    fixture.assert_close(loss, f"out/errD{i}")
    fixture.assert_close(terms, f"out/terms{i}")
    for key, value in logits.items():
        key = key if key.startswith("cond") else f"uncond_{key}"
        fixture.assert_close(jax.nn.sigmoid(value), f"out/prob{i}/{key}")
    parity_networks.assert_statistics(fixture, state, modules, f"out/after_state/D{i}.")
    for name, value in names.to_state_dict({"params": grads}, modules).items():
        fixture.assert_close(value, f"out/grad/D{i}.{name}")
