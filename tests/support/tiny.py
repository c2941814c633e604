"""Tiny networks, states and batches for tests of the training machinery."""

from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from support import tiny_config as tiny_configs

from mirrorgan_jax.training import stages, stream_step

VOCAB = 30
# Every switch of the GAN's step that is off in both presets.
SWITCHES = {
    "gan.schedule": "linear_decay", "gan.adversarial_loss": "hinge",
    "gan.d_norm": "spectral", "gan.gradient_penalty": "ma_gp", "gan.penalty_every": 2,
    "gan.diff_augment": "color,translation,cutout", "gan.lambda_warmup": 4,
}  # fmt: skip


class Trainer(NamedTuple):
    """A stage's pure functions and what they need.

    Attributes:
      create: `create(key, start=None) -> state`.
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
    return stages.random_batch(config, stage, VOCAB, seed=seed)


def stem(config, optimizer=None, *, schedule=lambda step: 1e-2, steps_per_epoch=1):
    """Trainer of STEM; `optimizer` None takes the configuration's."""
    trainer = stages.stem(
        config, VOCAB, schedule=schedule, steps_per_epoch=steps_per_epoch,
        optimizer=optimizer,
    )  # fmt: skip
    return Trainer(trainer.create, trainer.train_step, {})


def stream(config, optimizer=None):
    """Trainer of STREAM; `optimizer` None is Adam at a constant rate."""
    c = config.stream
    optimizer = optimizer or stream_step.make_optimizer(
        optax.constant_schedule(c.learning_rate),
        adam_b1=c.adam_b1,
        adam_b2=c.adam_b2,
        train_trunk=c.train_trunk,
    )
    trainer = stages.stream(config, VOCAB, optimizer=optimizer)
    return Trainer(trainer.create, trainer.train_step, {})


def gan(config, optimizers=None):
    """Trainer of GLAM and its discriminators, STEM and STREAM random and frozen.

    Args:
      config: the configuration.
      optimizers: {"G", "D"}; None takes the configuration's Adam.
    """
    trainer = stages.gan(config, VOCAB, optimizers=optimizers)
    frozen = jax.jit(stages.init_frozen(config, "gan", VOCAB))(jax.random.key(10))
    return Trainer(trainer.create, trainer.train_step, frozen)


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


def abstract_step(config, stage):
    """(train_step, its arguments as shapes and dtypes)."""
    trainer = stages.STAGES[stage].make(config, VOCAB)
    key = jax.eval_shape(lambda: jax.random.key(0))
    frozen = jax.eval_shape(stages.init_frozen(config, stage, VOCAB), key)
    state = jax.eval_shape(trainer.create, key)
    batch = stages.abstract_batch(config, stage)
    return trainer.train_step, (state, frozen, batch, key)


def shapes_of_a_step(config, stage):
    """(state, metrics) after a step, as shapes and dtypes: nothing is computed."""
    train_step, arguments = abstract_step(config, stage)
    return jax.eval_shape(train_step, *arguments)
