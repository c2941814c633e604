"""DAMSM image encoder: shapes, small trunk, and three of the reference's steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import parity

from mirrorgan_jax.losses import damsm
from mirrorgan_jax.models import image_encoder, inception, layers, resize, resnet, stem
from mirrorgan_jax.weights import names


def shapes(model, side):
    """Output shapes and number of parameters, without computing anything."""
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    run = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), images
    )
    outputs, variables = run
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    return jax.tree.map(lambda leaf: leaf.shape, outputs), count


def test_inception_encoder_has_the_papers_shapes():
    outputs, _ = shapes(image_encoder.ImageEncoder(), 256)
    assert outputs == ((2, 289, 256), (2, 256))


@pytest.mark.parametrize(
    ("trunk", "side", "outputs", "count"),
    [
        (inception.InceptionV3(), 299, ((2, 17, 17, 768), (2, 2048)), 21_785_568),
        (resnet.resnet152(), 224, ((2, 7, 7, 2048), (2, 2048)), 58_143_808),
    ],
)
def test_trunk_has_torchvisions_size(trunk, side, outputs, count):
    assert shapes(trunk, side) == (outputs, count)


@pytest.mark.parametrize(
    ("side", "region_size", "regions"), [(64, 8, 64), (64, 4, 16), (128, 16, 256)]
)
def test_small_encoder_gives_asked_regions(side, region_size, regions):
    model = image_encoder.ImageEncoder(
        backbone="small", word_dim=6, width=4, region_size=region_size
    )
    outputs, _ = shapes(model, side)
    assert outputs == ((2, regions, 6), (2, 6))


@pytest.mark.parametrize("side", [16, 64])
def test_small_encoder_resizes_to_the_size_it_learned_at(side):
    options = {"backbone": "small", "word_dim": 6, "width": 4}
    images = jax.random.uniform(jax.random.key(0), (2, side, side, 3), minval=-1)
    seen = resize.resize(images, 32, align_corners=False, antialias=side > 32)
    plain = image_encoder.ImageEncoder(**options)
    run = jax.jit(lambda x: plain.init_with_output(jax.random.key(1), x, train=False))
    expected, variables = run(seen)
    model = image_encoder.ImageEncoder(**options, image_size=32)
    actual = jax.jit(lambda x: model.apply(variables, x, train=False))(images)
    # The resize is a part of another program here: the last bits may differ.
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "side"),
    [({"region_size": 5}, 64), ({"backbone": "vgg"}, 64), ({}, 48)],
)
def test_small_encoder_refuses_what_it_cannot_do(change, side):
    model = image_encoder.ImageEncoder(**{"backbone": "small", **change})
    with pytest.raises(ValueError, match="of"):
        shapes(model, side)


def test_frozen_trunk_ignores_the_batch():
    images = jax.random.uniform(jax.random.key(0), (2, 32, 32, 3), minval=-1)
    outputs = {}
    for frozen in (False, True):
        model = image_encoder.ImageEncoder(
            backbone="small", word_dim=6, width=4, freeze_trunk=frozen
        )
        variables = model.init(jax.random.key(1), images, train=False)
        outputs[frozen], state = model.apply(
            variables, images, train=True, mutable=["batch_stats"]
        )
        same = jax.tree.map(
            lambda a, b: bool((a == b).all()),
            state.get("batch_stats", {}),
            variables["batch_stats"] if state else {},
        )
        assert all(jax.tree.leaves(same)) is frozen
    plain = model.apply(variables, images, train=False)
    np.testing.assert_array_equal(outputs[True][1], plain[1])
    assert (outputs[False][1] != plain[1]).any()


def test_code_knows_where_a_colour_is():
    model = image_encoder.ImageEncoder(backbone="small", word_dim=6, width=4)
    image = jnp.zeros((1, 64, 64, 3)).at[:, 8:24, 8:24, 0].set(1.0)
    variables = model.init(jax.random.key(1), image, train=False)
    code = model.apply(variables, image, train=False)[1]
    moved = model.apply(variables, jnp.roll(image, 32, (1, 2)), train=False)[1]
    assert jnp.abs(code - moved).max() > 0.1 * jnp.abs(code).max()


def stub(params, images):
    """The image encoder of fixture 07b: pooled 17 x 17, 1x1 conv, tanh."""
    cells = images[:, :255, :255].reshape(-1, 17, 15, 17, 15, 3).mean((2, 4))
    x = cells @ params["conv"]["kernel"][0, 0]
    x = jnp.tanh(x + layers.aligned(params["conv"]["bias"], x))
    regions = x.reshape(x.shape[0], -1, x.shape[-1])
    head = params["code"]
    return regions, regions.mean(1) @ head["kernel"] + head["bias"][None]


@pytest.mark.full
def test_three_pretraining_steps_equal_reference():
    fixture = parity.load("07b_damsm_pretrain_steps")
    modules = {"rnn": names.text_encoder(), "cnn": {n: (n,) for n in ("conv", "code")}}
    params = {
        k: names.to_tree(fixture.state(f"{k}."), v)["params"]
        for k, v in modules.items()
    }
    encoder = stem.TextEncoder(23, word_dim=16, dropout=0.0)
    length, class_id = fixture["in/cap_lens"], fixture["in/class_ids"]
    mask = np.arange(18) < length[:, None]

    def loss(params, images, tokens):
        regions, code = stub(params["cnn"], images)
        words, sentence = encoder.apply(
            {"params": params["rnn"]}, tokens, length, train=False
        )
        return damsm.damsm_loss(
            regions,
            words,
            mask,
            code,
            sentence,
            class_id,
            gamma1=4.0,
            gamma2=5.0,
            gamma3=10.0,
        )

    optimiser = optax.adam(2e-4, b1=0.5, b2=0.999)
    moments = optimiser.init(params)
    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    for i in range(3):
        images = parity.nhwc(fixture[f"in/img_step{i}"])
        (_, parts), grads = gradient(params, images, fixture[f"in/captions_step{i}"])
        norm = optax.tree.norm(grads["rnn"])
        key = f"step{i + 1}"
        order = ("word0", "word1", "sentence0", "sentence1")
        losses = np.stack([parts[name] for name in order])
        fixture.assert_close(losses, f"out/loss_{key}")
        fixture.assert_close(norm, f"out/rnn_grad_norm_before_clip_{key}")
        factor = 0.25 / (norm + 1e-6)  # the norm is far above the limit
        grads["rnn"] = jax.tree.map(factor.__mul__, grads["rnn"])
        updates, moments = optimiser.update(grads, moments)
        params = optax.apply_updates(params, updates)
        for name, tree in modules.items():
            state = names.to_state_dict({"params": params[name]}, tree)
            for leaf, array in state.items():
                fixture.assert_close(array, f"out/{key}/{name}.{leaf}")
