"""The stages of a run: what each is made of, and its pure functions."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mirrorgan_jax.losses import objective
from mirrorgan_jax.models import build
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.training import gan_step, stem_step, stream_step
from mirrorgan_jax.training import state as states


class Trainer(NamedTuple):
    """A stage's pure functions and its modules.

    Attributes:
      create: `create(key, start=None) -> state` at step 0; `start` is what stands in
        place of random variables.
      train_step: `train_step(state, frozen, batch, key) -> (state, metrics)`.
      modules: {name: module}, for evaluation beside training.
      lazy: `states.Lazy`; None where all steps are `train_step`.
    """

    create: Callable[..., Any]
    train_step: Callable[..., Any]
    modules: dict[str, Any]
    lazy: states.Lazy | None = None


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
        captioner,
        optimizer,
        reduction=c.caption_reduction,
        end_token=c.end_token,
        regularisation=c.attention_regularisation if c.decoder == "attention" else 0.0,
        accumulate=c.accumulate,
    )
    return Trainer(create, train_step, {"captioner": captioner})


def gan_optimizers(*, g_rate, d_rate, b1, b2):
    """{"G", "D"}: Adam of the generator, and of each discriminator."""
    return {
        "G": optax.adam(g_rate, b1=b1, b2=b2),
        "D": optax.adam(d_rate, b1=b1, b2=b2),
    }


def gan(config, vocab_size, *, optimizers=None, modules=None):
    """`Trainer` of GLAM and its discriminators.

    Args:
      config: the configuration.
      vocab_size: V.
      optimizers: {"G", "D"}; None takes the configuration's.
      modules: `models.build.Networks`; None takes the configuration's.
    """
    c, stem_settings = config.gan, config.stem
    modules = modules or build.gan(config, vocab_size)
    optimizers = optimizers or gan_optimizers(
        g_rate=_peak(c, c.g_learning_rate),
        d_rate=_peak(c, c.d_learning_rate),
        b1=c.adam_b1,
        b2=c.adam_b2,
    )
    noise = {"z_dim": c.z_dim, "condition_dim": c.condition_dim}
    create = gan_step.make_create_state(
        modules, optimizers, word_dim=stem_settings.word_dim, **noise
    )
    gammas = stem_settings.gamma1, stem_settings.gamma2, stem_settings.gamma3

    def step(weights):
        update = gan_step.make_update(
            modules,
            optimizers,
            weights,
            ema_decay=states.decay_of_half_life(c.ema_half_life, c.batch_size),
            ema_batch_stats=c.ema_batch_stats,
            rate=states.learning_rate(
                1.0,
                schedule=c.schedule,
                num_steps=c.num_steps,
                decay_share=c.decay_share,
            ),
            warmth=states.warm_up(c.lambda_warmup),
            accumulate=c.accumulate,
        )
        return gan_step.make_train_step(
            modules,
            update,
            sizes=configs.stage_sizes(c),
            diff_augment=c.diff_augment,
            **noise,
        )

    weights = objective.Weights.of(c, gammas, end_token=config.stream.end_token)
    lazy = None
    if weights.gradient_penalty != "none" and c.penalty_every > 1:
        without = step(weights._replace(gradient_penalty="none"))
        lazy = states.Lazy(c.penalty_every, without)
    return Trainer(create, step(weights), modules._asdict(), lazy)


def held_out(config):
    """Configuration of the captioner that no generator has seen.

    It differs from STREAM in its decoder, which is of another family, and in its trunk,
    which is wider and starts from random weights instead of STEM's.
    """
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.stream.encoder_width = config.eval.heldout_width
        config.stream.decoder = config.eval.heldout_decoder
        config.stream.trunk_from_stem = False
        config.stream.num_steps = config.eval.heldout_steps
        config.weights.pretrained = config.weights.captioner = ""
    return config


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of a run.

    Attributes:
      make: `make(config, vocab_size, ...) -> Trainer`.
      group: of the configuration that has its steps, batch and cadences; also the name
        of its folder.
      needs: `needs(config)` names the stages whose weights it reads.
      seed: added to the run's, so that no two stages share random numbers.
      configured: `configured(config)`: the run's configuration as the stage has it.
    """

    make: Callable[..., Trainer]
    group: str
    needs: Callable[[Any], tuple[str, ...]]
    seed: int
    configured: Callable[[Any], Any] = lambda config: config


def _stream_needs(config):
    return ("stem",) if config.stream.trunk_from_stem else ()


def _gan_needs(config):
    return ("stem", "stream") if config.gan.lambda_stream else ("stem",)


# In the order of a run.
STAGES = {
    "stem": Stage(stem, "stem", needs=lambda config: (), seed=0),
    "stream": Stage(stream, "stream", needs=_stream_needs, seed=1),
    "gan": Stage(gan, "gan", needs=_gan_needs, seed=2),
    "heldout": Stage(
        stream, "stream", needs=lambda config: (), seed=1001, configured=held_out
    ),
}


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
    """{name: ShapeDtypeStruct} of a stage's global batch."""
    rows, size = config[stage].batch_size, image_size(config, stage)
    shapes = {
        "image": ((rows, size, size, 3), jnp.uint8),
        "tokens": ((rows, config.text.num_words), jnp.int32),
        "length": ((rows,), jnp.int32),
        "class_id": ((rows,), jnp.int32),
        "index": ((rows,), jnp.int32),
    }
    return {name: jax.ShapeDtypeStruct(*value) for name, value in shapes.items()}


def random_batch(config, stage, vocab_size, *, seed=0):
    """What `abstract_batch` describes, filled at random: for benchmarks and tests."""
    shapes, rng = abstract_batch(config, stage), np.random.default_rng(seed)
    rows, words = shapes["tokens"].shape
    length = rng.integers(2, words + 1, rows)
    tokens = rng.integers(1, vocab_size, (rows, words))
    values = {
        "image": rng.integers(0, 256, shapes["image"].shape),
        "tokens": np.where(np.arange(words) < length[:, None], tokens, 0),
        "length": length,
        "class_id": np.arange(rows),
        "index": np.arange(rows),
    }
    return {name: values[name].astype(leaf.dtype) for name, leaf in shapes.items()}
