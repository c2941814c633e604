"""Accumulated gradients are those of the whole batch, where no batch norm looks."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import tiny

from mirrorgan_jax.losses import damsm
from mirrorgan_jax.models import build, glam, stem
from mirrorgan_jax.training import accumulation, stages, stem_step
from mirrorgan_jax.training import state as states

pytestmark = pytest.mark.full

ROWS = 8


def test_join_undoes_split_and_parts_are_interleaved():
    x = jnp.arange(12).reshape(6, 2)
    parts = accumulation.split({"x": x}, 3)["x"]
    np.testing.assert_array_equal(parts[1], x[1::3])
    np.testing.assert_array_equal(accumulation.join(parts), x)


def test_part_weighs_as_much_as_its_words():
    length = jnp.array([1, 2, 3, 4])
    mean = accumulation.caption_weights(length, 2, reduction="mean")
    np.testing.assert_allclose(mean, [4 / 10, 6 / 10])
    equal = accumulation.caption_weights(length, 2, reduction="sum")
    np.testing.assert_allclose(equal, [1 / 2, 1 / 2])


def test_scan_carries_on_and_sums_by_weight():
    def function(carry, part):
        return carry + 1, {"seen": part * carry}

    parts = jnp.array([[1.0], [10.0], [100.0]])
    carry, total = accumulation.scan(function, 1, parts, jnp.array([1.0, 0.5, 0.1]))
    assert carry == 4
    np.testing.assert_allclose(total["seen"], [1 + 10 + 30])


def assert_close(actual, expected, tolerance=1e-4):
    actual, expected = tiny.leaves(actual), tiny.leaves(expected)
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        scale = max(np.abs(value).max(), 1e-3)
        assert np.abs(actual[key] - value).max() <= tolerance * scale, key


class Tower(nn.Module):
    """An image tower without batch norm."""

    word_dim: int

    @nn.compact
    def __call__(self, images, *, train):
        del train
        x = nn.Conv(self.word_dim, (8, 8), 8)(images)
        code = nn.Dense(self.word_dim)(x.mean((1, 2)))
        return x.reshape(len(images), -1, self.word_dim), code


def stem_in(parts, *, dropout=0.0, rate=1e-2, frozen=lambda path: False):
    """(`step(state)`, its first state) of STEM without batch norm."""
    config = tiny.tiny_config(**{"stem.dropout": dropout, "stem.batch_size": ROWS})
    towers = build.text_encoder(config, tiny.VOCAB), Tower(config.stem.word_dim)
    # Its state is the gradient.
    descent = states.freeze(optax.trace(decay=0.0), frozen)
    create = stem_step.make_create_state(
        *towers, descent, image_size=32, num_words=config.text.num_words
    )
    update = stem_step.make_update(
        stem_step.make_encode(*towers),
        stem_step.make_loss(gamma1=4, gamma2=5, gamma3=10),
        descent,
        lambda step: rate,
        accumulate=parts,
    )
    step, batch = jax.jit(stem_step.make_train_step(update)), tiny.batch(config, "stem")
    return (
        lambda state: step(state, {}, batch, jax.random.key(1)),
        create(jax.random.key(0)),
    )


def test_stem_in_parts_has_the_negatives_of_the_whole_batch():
    (parts, state), (whole, _) = stem_in(4), stem_in(1)
    assert_close(parts(state), whole(state))


def test_stem_in_parts_descends_on_the_words_that_it_dropped():
    rate = 3e-5
    # The text alone: gradients of the images are much larger and drop nothing.
    step, before = stem_in(
        4, dropout=0.5, rate=rate, frozen=lambda path: path[0] == "image"
    )
    after, metrics = step(before)
    # The same step again, which drops the same words.
    _, later = step(after.replace(step=before.step))
    fall = metrics["STEM/loss"] - later["STEM/loss"]
    steepness = metrics["STEM/text_grad_norm"] ** 2
    np.testing.assert_allclose(fall, rate * steepness, rtol=0.02)


class Painter(nn.Module):
    """A generator of two stages without batch norm."""

    @nn.compact
    def __call__(self, z, eps, sentence, words, mask, *, train):
        del train
        shown = words * mask[..., None]
        x = jnp.concatenate([z, eps, sentence, shown.mean(1)], -1)
        images = tuple(
            jnp.tanh(nn.Dense(q * q * 3)(x)).reshape(-1, q, q, 3) for q in (16, 32)
        )
        mu, logvar = nn.Dense(4)(sentence), nn.Dense(4)(sentence)
        return glam.GeneratorOutput(images, (), (), mu, logvar)


def gan_step_in(parts, **changes):
    """(state, metrics) after a GAN step without batch norm and wrong pairs."""
    changes |= {"gan.batch_size": ROWS, "gan.d_norm": "none"}
    config = tiny.tiny_config(**changes)
    modules = build.gan(config, tiny.VOCAB)._replace(generator=Painter())
    descent = optax.sgd(1e-3, momentum=0.0)
    config.gan.accumulate = parts
    trainer = stages.gan(
        config, tiny.VOCAB, optimizers={"G": descent, "D": descent}, modules=modules
    )
    frozen = stages.init_frozen(config, "gan", tiny.VOCAB)(jax.random.key(2))
    state = trainer.create(jax.random.key(0))
    batch = tiny.batch(config, "gan")
    assert len(set(batch["length"].tolist())) > 1  # parts weigh differently
    return jax.jit(trainer.train_step)(state, frozen, batch, jax.random.key(1))


def test_gan_in_parts_is_the_whole_batch():
    assert_close(gan_step_in(2), gan_step_in(1))


def test_parts_of_the_gan_weigh_as_their_words_with_their_ends():
    # Large, so that the weights of the parts are seen in all that moves.
    changes = {
        "stream.decoder": "attention",
        "stream.end_token": True,
        "gan.lambda_stream": 1e3,
    }
    assert_close(gan_step_in(2, **changes), gan_step_in(1, **changes))


def test_damsm_negatives_of_the_gan_come_from_a_part():
    changes = {"gan.lambda_damsm": 2.0, "gan.lambda_stream": 0.0}
    _, metrics = gan_step_in(2, **changes)
    config = tiny.tiny_config(**{"gan.batch_size": ROWS, **changes})
    modules, batch = build.gan(config, tiny.VOCAB), tiny.batch(config, "gan")
    frozen = stages.init_frozen(config, "gan", tiny.VOCAB)(jax.random.key(2))
    captions = stem.encode_captions(
        modules.text_encoder, frozen["stem"], batch["tokens"], batch["length"],
        batch["class_id"],
    )  # fmt: skip
    key = jax.random.fold_in(jax.random.key(1), 0)
    dims = (config.gan.z_dim, config.gan.condition_dim)
    inputs = (*glam.noise(key, ROWS, *dims), captions.sentence)
    inputs = (*inputs, captions.words, captions.mask)
    # The same painter: its parameters come from the same key.
    keys = jax.random.split(jax.random.key(0), 3)
    out, _ = Painter().init_with_output(keys[0], *inputs, train=True)
    regions, code = modules.image_encoder.apply(
        frozen["image"], out.images[-1], train=False
    )
    losses = [
        damsm.damsm_loss(
            regions[part], captions.words[part], captions.mask[part], code[part],
            captions.sentence[part], batch["class_id"][part],
            gamma1=4.0, gamma2=5.0, gamma3=10.0,
        )[0]
        for part in (slice(0, None, 2), slice(1, None, 2))
    ]  # fmt: skip
    np.testing.assert_allclose(metrics["G/damsm"], sum(losses) / 2, rtol=1e-5)


@functools.cache
def in_two_parts(stage):
    """`step(state)` of a stage and the state that it starts from."""
    config = tiny.tiny_config(**{f"{stage}.accumulate": 2, f"{stage}.batch_size": ROWS})
    trainer, batch = getattr(tiny, stage)(config), tiny.batch(config, stage)
    step = jax.jit(trainer.train_step)
    state = jax.jit(trainer.create)(jax.random.key(0))
    return lambda state: step(state, trainer.frozen, batch, jax.random.key(1)), state


@pytest.mark.parametrize("stage", ["stem", "stream", "gan"])
def test_batch_norms_see_the_parts_and_everything_moves(stage):
    step, before = in_two_parts(stage)
    after, metrics = step(before)
    assert all(np.isfinite(value) for value in metrics.values())
    still = set(tiny.leaves(before)) - tiny.changed(before, after)
    assert not {key for key in still if "params" in key or "batch_stats" in key}


@pytest.mark.parametrize("stage", ["stem", "stream", "gan"])
def test_running_statistics_move_with_every_part(stage):
    def shift(path, x):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return x + 1 if "batch_stats" in name else x

    # What is left of a shift counts the passes, which never read the statistics.
    step, state = in_two_parts(stage)
    shifted = jax.tree_util.tree_map_with_path(shift, state)
    one, other = (tiny.leaves(step(start)[0]) for start in (state, shifted))
    running = {name for name in one if "batch_stats" in name and name[:3] != "ema"}
    assert running
    for name in running:
        # D sees real and fake images in its own update, and fakes once more in G's.
        passes = 2 * (3 if "discriminators" in name else 1)
        kept = 0.99 if "encoder/bn" in name else 0.9
        np.testing.assert_allclose(
            other[name] - one[name], kept**passes, rtol=1e-4, err_msg=name
        )
