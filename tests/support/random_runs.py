"""A run whose weights are random: what a training of no steps would leave."""

import jax
from support import tiny

from mirrorgan_jax.training import stages
from mirrorgan_jax.workdir import checkpoints as checkpoint

WORDS = (
    "<end>",
    *"this bird has a red blue wing and belly with green crown".split(),
    *"small yellow long beak wings".split(),
)


def _save(workdir, config, words, stage, state, ema=None):
    checkpoints = checkpoint.Checkpoints(workdir, stage)
    checkpoints.save(
        config[stage].num_steps, state, ema=ema, config=config.to_dict(),
        vocab=list(words),
    )  # fmt: skip
    checkpoints.close()


def write(workdir, words=WORDS, **changes):
    """Writes checkpoints of every stage of the tiny configuration; returns workdir.

    `changes` are keys of the configuration with other values.
    """
    config = tiny.tiny_config(**changes)
    for number, stage in enumerate(("stem", "stream")):
        create = stages.STAGES[stage].make(config, len(words)).create
        _save(workdir, config, words, stage, jax.jit(create)(jax.random.key(number)))
    state = jax.jit(stages.gan(config, len(words)).create)(jax.random.key(3))
    _save(workdir, config, words, "gan", state, ema=state.ema)
    return workdir
