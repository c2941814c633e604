"""Rates, objective and running statistics of one GAN step, by its results alone."""

import functools

import jax
import numpy as np
import pytest
from support import tiny


@functools.cache
def compiled():
    """`step(state)` and the state that it starts from."""
    config = tiny.tiny_config(
        **{
            "gan.g_learning_rate": 1e-3, "gan.d_learning_rate": 4e-3,
            "gan.kl_weight": 3.0, "gan.lambda_stream": 7.0,
            "gan.adam_b1": 0.3, "gan.adam_b2": 0.8,
        }
    )  # fmt: skip
    trainer, batch = tiny.gan(config), tiny.batch(config, "gan")
    step = jax.jit(trainer.train_step)
    state = jax.jit(trainer.create)(jax.random.key(1))
    return lambda state: step(state, trainer.frozen, batch, jax.random.key(0)), state


@pytest.mark.full
def test_generator_and_discriminators_learn_with_their_own_rates():
    step, before = compiled()
    after, _ = step(before)
    rates = {"generator": 1e-3, "D16": 4e-3, "D32": 4e-3}
    networks = [
        {"generator": state.generator, **state.discriminators}
        for state in (before, after)
    ]
    for name, rate in rates.items():
        old, new = (tiny.leaves(network[name].params) for network in networks)
        # Adam's first step is the rate wherever the gradient is not tiny.
        moved = max(np.abs(new[key] - old[key]).max() for key in old)
        assert moved == pytest.approx(rate, rel=1e-2), name


@pytest.mark.full
def test_every_adam_forgets_as_the_configuration_says():
    step, before = compiled()
    after, _ = step(before)
    for name, network in {"generator": after.generator, **after.discriminators}.items():
        adam = network.opt_state[0]
        first, second = tiny.leaves(adam.mu), tiny.leaves(adam.nu)
        for key, moment in first.items():
            # (1 - b1) g and (1 - b2) g^2 after one step.
            at = np.abs(moment).argmax()
            ratio = moment.flat[at] ** 2 / second[key].flat[at]
            assert ratio == pytest.approx(0.7**2 / 0.2, rel=1e-3), (name, key)


def test_logged_terms_add_up_to_the_generators_loss():
    step, state = compiled()
    _, metrics = step(state)
    found = {name: float(value) for name, value in metrics.items()}
    assert found["G/kl"] > 1e-3
    total = found["G/adversarial_D16"] + found["G/adversarial_D32"]
    total += 7 * found["G/caption"] + 3 * found["G/kl"]
    assert found["G/loss"] == pytest.approx(total, rel=1e-5)


def test_running_statistics_move_with_every_pass_in_training_mode():
    # A pass keeps 0.9 of the statistics and never reads them: what is left of a
    # shift counts the passes.
    step, state = compiled()

    def shift(network):
        return network.replace(
            batch_stats=jax.tree.map(lambda x: x + 1, network.batch_stats)
        )

    shifted = state.replace(
        generator=shift(state.generator),
        discriminators={k: shift(d) for k, d in state.discriminators.items()},
    )
    one, other = step(state)[0], step(shifted)[0]
    assert not tiny.changed(one.generator.params, other.generator.params)
    # D sees real and fake images in its own update, and fakes once more in G's.
    passes = {"generator": 1, "D16": 3, "D32": 3}
    one, other = (
        {"generator": after.generator, **after.discriminators} for after in (one, other)
    )
    for name, count in passes.items():
        moved = tiny.leaves(other[name].batch_stats)
        for key, value in tiny.leaves(one[name].batch_stats).items():
            np.testing.assert_allclose(
                moved[key] - value, 0.9**count, rtol=1e-4, err_msg=f"{name} {key}"
            )
