"""Learning rates at other batch sizes, and moving averages counted in images."""

import numpy as np
import pytest
from support import tiny

from mirrorgan_jax.training import state as states


@pytest.mark.parametrize(
    ("rule", "expected"), [("none", 2e-4), ("sqrt", 8e-4), ("linear", 32e-4)]
)
def test_learning_rate_follows_the_batch_by_its_rule(rule, expected):
    rate = states.scaled_rate(2e-4, rule=rule, batch_size=192, rule_batch=12)
    assert rate == pytest.approx(expected)


def test_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="rule = 'cube': allowed are none, sqrt, lin"):
        states.scaled_rate(1.0, rule="cube", batch_size=1, rule_batch=1)


def test_moving_average_forgets_half_in_its_half_life_at_every_batch_size():
    for batch_size in (4, 16, 1000):
        decay = states.decay_of_half_life(8000, batch_size)
        np.testing.assert_allclose(decay ** (8000 / batch_size), 0.5)


def test_default_half_life_is_the_released_decay_at_the_released_batch_size():
    half_life = tiny.tiny_config().gan.ema_half_life
    decay = states.decay_of_half_life(half_life, 12)
    assert decay == pytest.approx(0.999, abs=1e-6)
