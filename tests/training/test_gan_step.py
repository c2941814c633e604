"""Rates, objective and running statistics of one GAN step, by its results alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import tiny

from mirrorgan_jax.training import stages


def started(**changes):
    """`step(state)` of a tiny configuration, and its first state."""
    config = tiny.tiny_config(**changes)
    trainer, batch = tiny.gan(config), tiny.batch(config, "gan")
    step = jax.jit(trainer.train_step)
    state = jax.jit(trainer.create)(jax.random.key(1))
    return lambda state: step(state, trainer.frozen, batch, jax.random.key(0)), state


def moved(before, after):
    """{network: the farthest that one of its parameters has moved}."""
    old, new = (
        {"generator": state.generator, **state.discriminators}
        for state in (before, after)
    )
    found = {}
    for name in old:
        a, b = tiny.leaves(old[name].params), tiny.leaves(new[name].params)
        found[name] = max(np.abs(b[key] - a[key]).max() for key in a)
    return found


@functools.cache
def compiled():
    """`step(state)` and the state that it starts from."""
    return started(
        **{
            "gan.g_learning_rate": 1e-3, "gan.d_learning_rate": 4e-3,
            "gan.kl_weight": 3.0, "gan.lambda_stream": 7.0,
            "gan.adam_b1": 0.3, "gan.adam_b2": 0.8,
        }
    )  # fmt: skip


@pytest.mark.full
def test_generator_and_discriminators_learn_with_their_own_rates():
    step, before = compiled()
    after, _ = step(before)
    rates = {"generator": 1e-3, "D16": 4e-3, "D32": 4e-3}
    for name, distance in moved(before, after).items():
        # Adam's first step is the rate wherever the gradient is not tiny.
        assert distance == pytest.approx(rates[name], rel=1e-2), name


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


@functools.cache
def switched():
    """`step(state)` with a schedule and a warm-up, and the state that it starts from.

    The latter is after 90 of 100 steps, its Adam as at the start.
    """
    step, state = started(
        **{
            "gan.schedule": "linear_decay", "gan.decay_share": 0.4,
            "gan.num_steps": 100, "gan.lambda_warmup": 182,
            "gan.g_learning_rate": 1e-3, "gan.d_learning_rate": 4e-3,
        }
    )  # fmt: skip
    return step, state.replace(step=jnp.int32(90))


def test_both_rates_follow_the_schedule_by_the_runs_step():
    step, before = switched()
    after, _ = step(before)
    rates = {"generator": 1e-3, "D16": 4e-3, "D32": 4e-3}
    for name, distance in moved(before, after).items():
        # Ten of the forty last steps are left.
        assert distance == pytest.approx(rates[name] / 4, rel=1e-2), name


def test_lambda_warms_up_by_the_runs_step():
    step, state = switched()
    _, metrics = step(state)
    found = {name: float(value) for name, value in metrics.items()}
    total = found["G/adversarial_D16"] + found["G/adversarial_D32"] + found["G/kl"]
    total += 20 * 91 / 182 * found["G/caption"]
    assert found["G/loss"] == pytest.approx(total, rel=1e-5)


def test_switches_keep_nothing_in_the_state():
    # So a resume needs the step alone, which decides schedules, numbers and penalties.
    usual, switched = (
        tiny.shapes_of_a_step(tiny.tiny_config(**changes), "gan")[0]
        for changes in ({"gan.d_norm": "spectral"}, tiny.SWITCHES)
    )
    assert usual == switched


def penalised(every):
    """`Trainer` of one stage whose D keeps its gradient, and what a step takes."""
    config = tiny.tiny_config(
        **{
            "gan.stages": 1, "gan.lambda_stream": 0.0, "gan.d_norm": "spectral",
            "gan.gradient_penalty": "r1", "gan.penalty_weight": 5.0,
            "gan.penalty_every": every,
        }
    )  # fmt: skip
    still = optax.sgd(0.0, momentum=0.0)
    trainer = stages.gan(config, tiny.VOCAB, optimizers={"G": still, "D": still})
    frozen = stages.init_frozen(config, "gan", tiny.VOCAB)(jax.random.key(10))
    return trainer, (frozen, tiny.batch(config, "gan"), jax.random.key(0))


def test_lazy_penalty_is_as_large_over_its_cycle_as_one_at_every_step():
    always, arguments = penalised(1)
    lazy, _ = penalised(3)
    assert always.lazy is None and lazy.lazy.every == 3
    state = jax.jit(always.create)(jax.random.key(1))

    def gradient(step):
        after, metrics = jax.jit(step)(state, *arguments)
        trace = after.discriminators["D16"].opt_state
        return np.concatenate([np.ravel(x) for x in jax.tree.leaves(trace)]), metrics

    wanted, _ = gradient(always.train_step)
    whole, metrics = gradient(lazy.train_step)
    without, plain = gradient(lazy.lazy.otherwise)
    assert set(metrics) - set(plain) == {"D16/penalty"}
    added = float(metrics["D16/loss"] - plain["D16/loss"])
    assert added == pytest.approx(3 * 5.0 * float(metrics["D16/penalty"]), rel=1e-3)
    cycle = (whole + 2 * without) / 3
    assert np.linalg.norm(wanted - without) > 0.01 * np.linalg.norm(without)
    assert np.linalg.norm(cycle - wanted) <= 1e-5 * np.linalg.norm(wanted)


def test_augmentation_is_random_by_step_and_reaches_the_generator():
    config = tiny.tiny_config(
        **{
            "gan.stages": 1, "gan.lambda_stream": 0.0,
            "gan.diff_augment": "color,translation,cutout",
        }
    )  # fmt: skip
    trainer, batch = tiny.gan(config), tiny.batch(config, "gan")
    step = jax.jit(trainer.train_step)
    state = jax.jit(trainer.create)(jax.random.key(1))
    later = state.replace(step=state.step + 1)
    real = [
        float(step(s, trainer.frozen, batch, jax.random.key(key))[1]["D16/real"])
        for s, key in ((state, 0), (state, 0), (later, 0), (state, 1))
    ]
    # Logits of real images know no other random numbers.
    assert real[0] == real[1] and len(set(real)) == 3
    after, _ = step(state, trainer.frozen, batch, jax.random.key(0))
    moved = tiny.changed(state.generator.params, after.generator.params)
    assert moved == set(tiny.leaves(state.generator.params))
