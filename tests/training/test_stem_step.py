"""Dropout of the STEM step: there in training, and another one at every step."""

import functools

import jax
import numpy as np
import pytest
from support import tiny


@functools.cache
def losses(dropout):
    """Loss at (step, key) = (0, 0), (0, 1) and (1, 0), on one batch."""
    config = tiny.tiny_config(**{"stem.dropout": dropout})
    trainer, batch = tiny.stem(config), tiny.batch(config, "stem")
    step = jax.jit(trainer.train_step)
    state = jax.jit(trainer.create)(jax.random.key(1))
    later = state.replace(step=state.step + 1)
    return [
        float(step(s, trainer.frozen, batch, jax.random.key(key))[1]["STEM/loss"])
        for s, key in ((state, 0), (state, 1), (later, 0))
    ]


def test_stem_trains_with_dropout():
    assert losses(0.5)[0] != losses(0.5)[1]
    assert losses(0.5)[0] != pytest.approx(losses(0.0)[0], abs=1e-4)
    # Nothing else is random.
    assert len(set(losses(0.0))) == 1


def test_stem_drops_other_words_at_every_step():
    assert np.unique(losses(0.5)).size == 3
