"""Tiny networks, states and batches for tests of the training machinery."""

from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import tiny_config as tiny_configs

from mirrorgan_jax import config as configs
from mirrorgan_jax import networks
from mirrorgan_jax.training import gan_step, stem_step, stream_step
from mirrorgan_jax.training import state as states

VOCAB = 30


class Trainer(NamedTuple):
    """A stage's pure functions and what they need.

    Attributes:
      create: `create(key, trunk=None) -> state`.
      train_step: `(state, frozen, batch, key) -> (state, metrics)`.
      frozen: what the step reads.
    """

    create: Any
    train_step: Any
    frozen: Any


def tiny_config(preset="paper", **changes):
    """The tiny configuration with some keys changed: `**{"gan.stages": 1}`."""
    config = tiny_configs.get_config(preset).lock()
    config.update_from_flattened_dict(changes)
    return config


def batch(config, stage, seed=0):
    """A random batch of a stage."""
    rng = np.random.default_rng(seed)
    rows, words = config[stage].batch_size, config.text.num_words
    size = configs.stage_sizes(config.gan)[-1]
    if stage != "gan":
        size = config[stage].image_size
    length = rng.integers(2, words + 1, rows)
    tokens = rng.integers(1, VOCAB, (rows, words))
    return {
        "image": rng.integers(0, 256, (rows, size, size, 3)).astype(np.uint8),
        "tokens": np.where(np.arange(words) < length[:, None], tokens, 0).astype("i4"),
        "length": length.astype("i4"),
        "class_id": np.arange(rows, dtype="i4"),
        "index": np.arange(rows, dtype="i4"),
    }


def stem(config, *, schedule=lambda step: 1e-2, reset_every=0):
    """Trainer of STEM."""
    c = config.stem
    text = networks.text_encoder(config, VOCAB)
    image = networks.damsm_image_encoder(config)
    optimizer = stem_step.make_optimizer(
        adam_b1=c.adam_b1,
        adam_b2=c.adam_b2,
        clip_norm=c.clip_norm,
        train_trunk=c.train_trunk,
    )
    loss = stem_step.make_loss(
        text, image, gamma1=c.gamma1, gamma2=c.gamma2, gamma3=c.gamma3
    )
    update = stem_step.make_update(loss, optimizer, schedule, reset_every=reset_every)
    create = stem_step.make_create_state(
        text,
        image,
        optimizer,
        image_size=c.image_size,
        num_words=config.text.num_words,
    )
    return Trainer(create, stem_step.make_train_step(update), {})


def stream(config):
    """Trainer of STREAM."""
    c = config.stream
    captioner = networks.captioner(config, VOCAB)
    optimizer = stream_step.make_optimizer(
        optax.constant_schedule(c.learning_rate),
        adam_b1=c.adam_b1,
        adam_b2=c.adam_b2,
        train_trunk=c.train_trunk,
    )
    create = stream_step.make_create_state(
        captioner,
        optimizer,
        image_size=c.image_size,
        num_words=config.text.num_words,
    )
    train_step = stream_step.make_train_step(
        captioner, optimizer, reduction=c.caption_reduction
    )
    return Trainer(create, train_step, {})


def gan(config, optimizers=None):
    """Trainer of GLAM and its discriminators, STEM and STREAM random and frozen.

    Args:
      config: the configuration.
      optimizers: {"G", "D"}; None takes the configuration's Adam.
    """
    c = config.gan
    modules = networks.gan(config, VOCAB)
    optimizers = optimizers or networks.gan_optimizers(config)
    create = gan_step.make_create_state(
        modules,
        optimizers,
        word_dim=config.stem.word_dim,
        z_dim=c.z_dim,
        condition_dim=c.condition_dim,
    )
    train_step = gan_step.make_train_step(
        modules,
        optimizers,
        networks.gan_weights(config),
        sizes=configs.stage_sizes(c),
        z_dim=c.z_dim,
        condition_dim=c.condition_dim,
    )
    frozen = {
        "stem": states.weights(jax.jit(stem(config).create)(jax.random.key(10)).text),
        "stream": states.weights(
            jax.jit(stream(config).create)(jax.random.key(11)).captioner
        ),
    }
    return Trainer(create, train_step, frozen)


def leaves(tree):
    """{path: NumPy array} of a tree's leaves; the path's names joined by slashes."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def changed(before, after):
    """Paths whose leaves differ between two trees of one structure."""
    before, after = leaves(before), leaves(after)
    assert before.keys() == after.keys()
    return {key for key in before if not np.array_equal(before[key], after[key])}
