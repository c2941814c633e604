"""The pure functions of every training stage, assembled from a configuration."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mirrorgan_jax.losses import objective
from mirrorgan_jax.models import build
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.training import gan_step, stem_step, stream_step
from mirrorgan_jax.training import state as states


class Trainer(NamedTuple):
    """A stage's pure functions and its modules.

    Attributes:
      create: `create(key, trunk=None) -> state` at step 0.
      train_step: `train_step(state, frozen, batch, key) -> (state, metrics)`.
      modules: {name: module}, for evaluation beside training.
    """

    create: Callable[..., Any]
    train_step: Callable[..., Any]
    modules: dict[str, Any]


def _peak(c, rate):
    return states.scaled_rate(
        rate,
        rule=c.lr_rule,
        batch_size=c.batch_size,
        rule_batch=configs.rule_batch(c),
    )


def stem(config, vocab_size, *, steps_per_epoch=1, schedule=None, optimizer=None):
    """`Trainer` of STEM.

    Args:
      config: the configuration.
      vocab_size: V.
      steps_per_epoch: steps of one pass over the training images.
      schedule: learning rate of step n; None takes the configuration's.
      optimizer: direction of the update; None takes the configuration's.
    """
    c = config.stem
    text = build.text_encoder(config, vocab_size)
    image = build.damsm_image_encoder(config)
    optimizer = optimizer or stem_step.make_optimizer(
        adam_b1=c.adam_b1,
        adam_b2=c.adam_b2,
        clip_norm=c.clip_norm,
        train_trunk=c.train_trunk,
    )
    schedule = schedule or states.learning_rate(
        _peak(c, c.learning_rate),
        schedule=c.schedule,
        num_steps=c.num_steps,
        steps_per_epoch=steps_per_epoch,
        decay_per_epoch=c.decay_per_epoch,
    )
    update = stem_step.make_update(
        stem_step.make_encode(text, image),
        stem_step.make_loss(gamma1=c.gamma1, gamma2=c.gamma2, gamma3=c.gamma3),
        optimizer,
        schedule,
        reset_every=steps_per_epoch if c.reset_adam_every_epoch else 0,
        accumulate=c.accumulate,
    )
    create = stem_step.make_create_state(
        text,
        image,
        optimizer,
        image_size=c.image_size,
        num_words=config.text.num_words,
    )
    return Trainer(
        create, stem_step.make_train_step(update), {"text": text, "image": image}
    )


def stream(config, vocab_size, *, optimizer=None):
    """`Trainer` of STREAM; `optimizer` None takes the configuration's."""
    c = config.stream
    captioner = build.captioner(config, vocab_size)
    optimizer = optimizer or stream_step.make_optimizer(
        states.learning_rate(
            _peak(c, c.learning_rate), schedule=c.schedule, num_steps=c.num_steps
        ),
        adam_b1=c.adam_b1,
        adam_b2=c.adam_b2,
        train_trunk=c.train_trunk,
    )
    create = stream_step.make_create_state(
        captioner, optimizer, image_size=c.image_size, num_words=config.text.num_words
    )
    train_step = stream_step.make_train_step(
        captioner, optimizer, reduction=c.caption_reduction, accumulate=c.accumulate
    )
    return Trainer(create, train_step, {"captioner": captioner})


def gan_optimizers(*, g_rate, d_rate, b1, b2):
    """{"G", "D"}: Adam of the generator, and of each discriminator."""
    return {
        name: optax.adam(rate, b1=b1, b2=b2)
        for name, rate in (("G", g_rate), ("D", d_rate))
    }


def gan_weights(config):
    """Weights and forms of the GAN's objective."""
    c = config.gan
    own = set(objective.Weights._fields) - {"ema_decay", "gammas"}
    return objective.Weights(
        ema_decay=states.decay_of_half_life(c.ema_half_life, c.batch_size),
        gammas=tuple(config.stem[f"gamma{i}"] for i in (1, 2, 3)),
        **{key: c[key] for key in own},
    )


def gan(config, vocab_size, *, optimizers=None):
    """`Trainer` of GLAM and its discriminators.

    Args:
      config: the configuration.
      vocab_size: V.
      optimizers: {"G", "D"}; None takes the configuration's.
    """
    c = config.gan
    modules = build.gan(config, vocab_size)
    optimizers = optimizers or gan_optimizers(
        g_rate=_peak(c, c.g_learning_rate),
        d_rate=_peak(c, c.d_learning_rate),
        b1=c.adam_b1,
        b2=c.adam_b2,
    )
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
        gan_weights(config),
        sizes=configs.stage_sizes(c),
        z_dim=c.z_dim,
        condition_dim=c.condition_dim,
        accumulate=c.accumulate,
    )
    return Trainer(create, train_step, modules._asdict())


MAKERS = {"stem": stem, "stream": stream, "gan": gan}


def init_frozen(config, stage, vocab_size):
    """A function `init(key)` of random variables that the stage reads as frozen.

    Its shapes are those of the real ones: for ahead-of-time compilation, benchmarks
    and tests.
    """
    if stage != "gan":
        return lambda key: {}

    def init(key):
        text_key, stream_key = jax.random.split(key)
        towers = stem(config, vocab_size).create(text_key)
        image = states.weights(towers.image) if config.gan.lambda_damsm else {}
        captioner = {}
        if config.gan.lambda_stream:
            state = stream(config, vocab_size).create(stream_key)
            captioner = states.weights(state.captioner)
        text = states.weights(towers.text)
        return {"stem": text, "stream": captioner, "image": image}

    return init


def image_size(config, stage):
    """Side of the images of a stage's batches."""
    if stage == "gan":
        return configs.stage_sizes(config.gan)[-1]
    return config[stage].image_size


def abstract_batch(config, stage):
    """{name: ShapeDtypeStruct} of a stage's global batch (DESIGN: words and axes)."""
    rows, size = config[stage].batch_size, image_size(config, stage)
    shapes = {
        "image": ((rows, size, size, 3), jnp.uint8),
        "tokens": ((rows, config.text.num_words), jnp.int32),
        "length": ((rows,), jnp.int32),
        "class_id": ((rows,), jnp.int32),
        "index": ((rows,), jnp.int32),
    }
    return {name: jax.ShapeDtypeStruct(*value) for name, value in shapes.items()}
