"""STREAM's step: what it minimises; its gate: whom each caption is compared with."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from support import tiny

from mirrorgan_jax.losses import captioning
from mirrorgan_jax.models import stream
from mirrorgan_jax.training import state as states
from mirrorgan_jax.training import stream_step

SURE, VOCAB = 3.0, 5


class Reader(nn.Module):
    """A captioner that says the word whose id is the image's colour."""

    @nn.compact
    def __call__(self, images, tokens, *, train):
        words = jax.nn.one_hot(images[:, 0, 0, 0].astype(int), VOCAB) * SURE
        return words[:, None].repeat(tokens.shape[1], 1)


def test_gate_compares_every_caption_with_its_image_and_the_next_one():
    images = np.tile(np.array([1.0, 2.0, 3.0])[:, None, None, None], (1, 2, 2, 3))
    # Captions 0 and 2 fit their own image, none fits the next one, 1 the one before.
    tokens, length = np.array([[1, 1], [1, 0], [3, 0]]), np.array([2, 1, 1])
    gate = stream_step.make_gate(Reader())
    matched, shuffled = gate({}, images, tokens, length)
    wrong = np.log(np.exp(SURE) + VOCAB - 1)
    np.testing.assert_allclose(matched, wrong - SURE * 3 / 4, rtol=1e-5)
    np.testing.assert_allclose(shuffled, wrong, rtol=1e-5)


class Looker(nn.Module):
    """A captioner without batch norm that looks at four regions."""

    @nn.compact
    def describe(self, images, tokens, *, train):
        del train
        self.variable("batch_stats", "none", jnp.zeros, ())
        before = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)))
        x = nn.Embed(tiny.VOCAB, 8)(before) + images.mean((1, 2))[:, None, :1]
        return stream.Described(
            nn.Dense(tiny.VOCAB)(x), nn.softmax(nn.Dense(4)(4 * x), -1)
        )


@functools.cache
def looked(reduction, end_token, regularisation, parts=1):
    """(batch, first state, state after a step of plain descent, metrics)."""
    optimizer = optax.sgd(0.1)
    batch = tiny.batch(tiny.tiny_config(**{"stream.batch_size": 8}), "stream")
    images, tokens = jnp.zeros((1, 2, 2, 3)), batch["tokens"][:1]
    variables = Looker().init(
        jax.random.key(0), images, tokens, train=True, method="describe"
    )
    state = stream_step.StreamState(
        jnp.zeros((), jnp.int32), states.NetworkState.create(variables, optimizer)
    )
    step = stream_step.make_train_step(
        Looker(), optimizer, reduction=reduction, end_token=end_token,
        regularisation=regularisation, accumulate=parts,
    )  # fmt: skip
    return batch, state, *jax.jit(step)(state, {}, batch, jax.random.key(1))


@pytest.mark.parametrize("end_token", [False, True])
def test_loss_is_eq_8_and_the_regularisation(end_token):
    batch, state, _, metrics = looked("mean", end_token, 3.0)
    tokens, length = batch["tokens"], batch["length"]
    if end_token:
        tokens, length = captioning.with_end(tokens, length)
    found = Looker().apply(
        state.captioner.variables(), batch["image"] / 127.5 - 1, tokens,
        train=True, method="describe",
    )  # fmt: skip
    words = captioning.caption_loss(found.logits, tokens, length, reduction="mean")
    shares = captioning.attention_regularisation(found.weights, length)
    assert shares > 0.1
    np.testing.assert_allclose(metrics["STREAM/loss"], words + 3.0 * shares, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_parts_of_a_regularised_batch_are_the_whole_batch(reduction):
    batch, _, *whole = looked(reduction, True, 3.0)
    _, _, *parts = looked(reduction, True, 3.0, 2)
    assert batch["length"][::2].sum() != batch["length"][1::2].sum()
    for key, value in tiny.leaves(whole).items():
        np.testing.assert_allclose(tiny.leaves(parts)[key], value, atol=1e-5)


@pytest.mark.parametrize("decoder", ["attention", "transformer"])
def test_every_parameter_of_a_decoder_that_looks_learns(decoder):
    config = tiny.tiny_config(**{"stream.decoder": decoder, "stream.end_token": True})
    trainer, step = tiny.stream(config), []

    def train_step(*arguments):
        step.append(1)
        return trainer.train_step(*arguments)

    run = jax.jit(train_step)
    state = before = jax.jit(trainer.create)(jax.random.key(1))
    for seed in range(2):
        batch = tiny.batch(config, "stream", seed)
        state, metrics = run(state, {}, batch, jax.random.key(0))
    assert len(step) == 1 and np.isfinite(metrics["STREAM/loss"])
    parameters = {k for k in tiny.leaves(before) if "params" in k.split("/")}
    assert parameters <= tiny.changed(before, state)
