"""The three training steps: what changes, what does not, and by how much."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import tiny

from mirrorgan_jax.models import build, stem
from mirrorgan_jax.training import gan_step, stem_step
from mirrorgan_jax.training import state as states


def run(trainer, batches):
    """(states from the initial one to the last, last metrics, compilations)."""
    traced = []

    def train_step(*arguments):
        traced.append(1)
        return trainer.train_step(*arguments)

    step = jax.jit(train_step)
    kept = [jax.jit(trainer.create)(jax.random.key(1))]
    for batch in batches:
        state, metrics = step(kept[-1], trainer.frozen, batch, jax.random.key(0))
        kept.append(state)
    return kept, metrics, len(traced)


def batches(config, stage, count):
    return [tiny.batch(config, stage, seed) for seed in range(count)]


# A compilation costs seconds: tests share the runs of one configuration.
@functools.cache
def gan_run(**changes):
    """Two GAN steps on two different batches."""
    config = tiny.tiny_config(**changes)
    return run(tiny.gan(config), batches(config, "gan", 2))


@functools.cache
def pretraining_run(stage, **changes):
    """Three steps of STEM or STREAM."""
    config = tiny.tiny_config(**changes)
    return run(getattr(tiny, stage)(config), batches(config, stage, 3))


@functools.cache
def stem_run_with_epochs():
    """Three STEM steps, two of them an epoch; the rate of the third one is 0."""
    config = tiny.tiny_config()
    config.stem.reset_adam_every_epoch = True
    trainer = tiny.stem(
        config, schedule=lambda step: jnp.where(step < 2, 1e-2, 0.0), steps_per_epoch=2
    )
    return run(trainer, batches(config, "stem", 3))


def test_gan_step_changes_every_parameter_of_generator_and_discriminators():
    (before, _, after), _, _ = gan_run()
    parameters = {key for key in tiny.leaves(before) if "params" in key.split("/")}
    build = {"/".join(key.split("/")[:2]) for key in parameters}
    assert build == {
        "generator/params",
        "discriminators/D16",
        "discriminators/D32",
        "ema/params",
    }
    assert parameters <= tiny.changed(before, after)
    assert after.step == 2


def test_gan_step_changes_all_statistics():
    (before, _, after), _, _ = gan_run()
    statistics = {key for key in tiny.leaves(before) if "batch_stats" in key}
    assert any("discriminators/D32" in key for key in statistics)
    assert any("ema" in key for key in statistics)
    assert statistics <= tiny.changed(before, after)


def test_frozen_networks_are_arguments_and_stay_as_they_are():
    config = tiny.tiny_config()
    trainer = tiny.gan(config)
    frozen = jax.tree.map(np.array, trainer.frozen)
    (_, after), _, _ = run(trainer, batches(config, "gan", 1))
    assert not tiny.changed(frozen, trainer.frozen)
    # Nor does the state carry a copy of them that could learn.
    assert not [key for key in tiny.leaves(after) if "embedding" in key]


@pytest.mark.full
def test_gradients_flow_through_stream_to_the_generator_alone():
    key = "gan.lambda_stream"
    (_, without, without_2), metrics, _ = gan_run(**{key: 0.0})
    (_, mirrored, mirrored_2), _, _ = gan_run()
    # Two steps: STREAM sees the last stage only, and Adam's first step is a sign.
    moved = tiny.changed(without_2.generator.params, mirrored_2.generator.params)
    assert moved == set(tiny.leaves(mirrored.generator.params))
    assert "G/caption" not in metrics
    for name, network in mirrored.discriminators.items():
        other = tiny.leaves(without.discriminators[name].params)
        for path, value in tiny.leaves(network.params).items():
            np.testing.assert_allclose(other[path], value, rtol=0, atol=1e-6)


def test_generator_learns_from_the_updated_discriminators():
    # With a discriminator that does not learn, L_G is another number.
    config = tiny.tiny_config(**{"gan.stages": 1, "gan.lambda_stream": 0.0})
    losses = []
    for rate in (2e-2, 0.0):
        optimizers = {"G": optax.sgd(0.1), "D": optax.sgd(rate)}
        _, metrics, _ = run(tiny.gan(config, optimizers), batches(config, "gan", 1))
        losses.append({name: float(value) for name, value in metrics.items()})
    assert losses[0]["D16/loss"] == pytest.approx(losses[1]["D16/loss"], rel=1e-5)
    name = "G/adversarial_D16"
    assert abs(losses[0][name] - losses[1][name]) > 1e-3


def test_gan_step_compiles_once():
    _, _, compilations = gan_run()
    assert compilations == 1


@pytest.mark.parametrize("stage", ["stem", "stream"])
def test_pretraining_steps_compile_once_and_change_every_leaf(stage):
    (before, *_, after), _, compilations = pretraining_run(stage)
    assert compilations == 1
    assert tiny.changed(before, after) == set(tiny.leaves(before))
    assert after.step == 3


@pytest.mark.parametrize(
    ("stage", "switches"),
    [("stem", {}), ("stream", {}), ("gan", {}), ("gan", tiny.SWITCHES)],
)
def test_no_step_branches(stage, switches):
    # Devices that gather inside a branch (`jnp.diagonal` has one) and beside it may do
    # so in different orders, and then wait for each other for ever.
    config = tiny.tiny_config(**{"gan.lambda_damsm": 2.0}, **switches)
    train_step, arguments = tiny.abstract_step(config, stage)
    program = str(jax.make_jaxpr(train_step)(*arguments))
    assert "dot_general[" in program and "cond[" not in program


def test_gan_noise_follows_key_and_step():
    config = tiny.tiny_config()
    trainer, batch = tiny.gan(config), tiny.batch(config, "gan")
    step = jax.jit(trainer.train_step)
    state = jax.jit(trainer.create)(jax.random.key(1))
    later = state.replace(step=state.step + 1)
    losses = [
        float(step(s, trainer.frozen, batch, jax.random.key(key))[1]["G/loss"])
        for s, key in ((state, 0), (state, 0), (state, 1), (later, 0))
    ]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def assert_average(old, new, average, *, decay, statistics):
    old, new = tiny.leaves(old), tiny.leaves(new)
    for path, value in tiny.leaves(average).items():
        expected = decay * old[path] + (1 - decay) * new[path]
        if path.startswith("batch_stats") and not statistics:
            expected = new[path]
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7, err_msg=path)


@pytest.mark.parametrize("statistics", [True, False])
def test_moving_average_is_its_formula(statistics):
    old, new = (
        {"params": {"w": np.array([v, 2.0])}, "batch_stats": {"mean": np.array([v])}}
        for v in (1.0, 5.0)
    )
    network = states.NetworkState.create(jax.tree.map(jnp.asarray, new))
    average = gan_step.moving_average(old, network, decay=0.75, batch_stats=statistics)
    np.testing.assert_allclose(average["params"]["w"], [2.0, 2.0])
    np.testing.assert_allclose(
        average["batch_stats"]["mean"], [2.0 if statistics else 5.0]
    )


def test_gan_step_averages_the_updated_generator():
    kept, _, _ = gan_run()
    assert not tiny.changed(kept[0].ema, states.weights(kept[0].generator))
    for before, after in zip(kept, kept[1:], strict=False):
        assert_average(
            before.ema,
            states.weights(after.generator),
            after.ema,
            decay=0.5 ** (4 / 8314),  # a batch of 4 images
            statistics=True,
        )


def test_stem_clips_only_the_text_gradient():
    optimizer = stem_step.make_optimizer(
        adam_b1=0.0, adam_b2=0.999, clip_norm=0.25, train_trunk=True
    )
    params = {"text": {"a": jnp.ones((2, 3))}, "image": {"trunk": jnp.ones(4)}}
    grads = jax.tree.map(lambda x: jnp.full_like(x, 3.0), params)
    _, opt_state = optimizer.update(grads, optimizer.init(params), params)
    # Adam's first moment without decay is the gradient that it was given.
    given = next(s for s in opt_state if isinstance(s, optax.ScaleByAdamState)).mu
    np.testing.assert_allclose(np.linalg.norm(given["text"]["a"]), 0.25, rtol=1e-5)
    np.testing.assert_array_equal(given["image"]["trunk"], 3.0)


def test_stem_bound_of_the_gradient_reaches_the_step():
    # After two steps: Adam's first one does not know the gradient's size.
    (_, _, tight, _), metrics, _ = pretraining_run("stem", **{"stem.clip_norm": 0.01})
    (_, _, loose, _), _, _ = pretraining_run("stem")
    assert metrics["STEM/text_grad_norm"] > 0.25  # as it was before
    assert tiny.changed(tight.text.params, loose.text.params)


@pytest.mark.parametrize("stage", ["stem", "stream"])
def test_frozen_trunk_keeps_parameters_and_statistics(stage):
    changes = {f"{stage}.train_trunk": False}
    (before, *_, after), _, _ = pretraining_run(stage, **changes)
    trunk = {key for key in tiny.leaves(before) if "trunk" in key.split("/")}
    assert any("batch_stats" in key for key in trunk)
    assert any("params" in key.split("/") for key in trunk)
    # All of it stays and everything else moves.
    assert tiny.changed(before, after) == set(tiny.leaves(before)) - trunk
    # Frozen parameters have no moments: they would be most of the memory.
    assert not [key for key in trunk if "opt_state" in key]


@pytest.mark.parametrize("stage", ["stem", "stream"])
def test_pretrained_trunk_replaces_the_random_one(stage):
    create = jax.jit(getattr(tiny, stage)(tiny.tiny_config()).create)

    def encoder(state):
        if stage == "stem":
            return state.image.params, state.image.batch_stats
        return state.captioner.params["encoder"], state.captioner.batch_stats["encoder"]

    donor = encoder(create(jax.random.key(5)))
    trunk = [jax.tree.map(lambda x: x + 1, tree["trunk"]) for tree in donor]
    within = "image" if stage == "stem" else "encoder"
    start = {
        collection: {"trunk": tree}
        for collection, tree in zip(("params", "batch_stats"), trunk, strict=True)
    }
    if stage == "stem":
        start = {within: start}
    else:
        start = {collection: {within: tree} for collection, tree in start.items()}
    before = create(jax.random.key(1))
    after = create(jax.random.key(1), start)
    for tree, wanted in zip(encoder(after), trunk, strict=True):
        assert not tiny.changed(tree["trunk"], wanted)
    # And nothing else.
    assert all("trunk" in key.split("/") for key in tiny.changed(before, after))


def test_gan_and_its_average_start_from_what_is_given():
    create = jax.jit(tiny.gan(tiny.tiny_config()).create)
    donor = create(jax.random.key(5))
    start = {
        "generator": states.weights(donor.generator),
        "discriminators": {"D32": states.weights(donor.discriminators["D32"])},
    }
    before, after = create(jax.random.key(1)), create(jax.random.key(1), start)
    assert not tiny.changed(states.weights(after.generator), start["generator"])
    assert not tiny.changed(after.ema, start["generator"])
    changed = tiny.changed(before.discriminators, after.discriminators)
    assert changed and all(key.startswith("D32/") for key in changed)


def test_start_with_a_part_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"no place for \['c'\]"):
        states.started({"a": {"b": 1}}, {"a": {"c": 2}})


def adam_counts(kept):
    """Adam's number of updates after every step."""
    return [
        int(value)
        for state in kept[1:]
        for path, value in tiny.leaves(state.opt_state).items()
        if path.endswith("count")
    ]


def test_stem_starts_a_new_adam_every_epoch_where_asked():
    assert adam_counts(stem_run_with_epochs()[0]) == [1, 2, 1]
    assert adam_counts(pretraining_run("stem")[0]) == [1, 2, 3]


def test_stem_learning_rate_follows_the_runs_step_not_adams():
    (_, one, two, three), _, _ = stem_run_with_epochs()
    assert tiny.changed(one.text.params, two.text.params)
    assert not tiny.changed(two.text.params, three.text.params)
    assert tiny.changed(two.opt_state, three.opt_state)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0: 1.0, 50: 1.0, 99: 1.0}),
        ("epoch_decay", {0: 1.0, 9: 1.0, 10: 0.5, 29: 0.25, 30: 0.125, 40: 0.1}),
        ("one_cycle", {10: 1.0, 100: 0.0}),
        ("linear_decay", {0: 1.0, 75: 1.0, 80: 0.8, 99: 0.04, 100: 0.0}),
    ],
)
def test_learning_rate_of_a_step(schedule, expected):
    rate = states.learning_rate(
        1.0,
        schedule=schedule,
        num_steps=100,
        steps_per_epoch=10,
        decay_per_epoch=0.5,
        decay_share=0.25,
    )
    for step, value in expected.items():
        assert float(rate(step)) == pytest.approx(value, abs=1e-4)


def test_warm_up_rises_in_equal_parts():
    rising, at_once = states.warm_up(4), states.warm_up(0)
    shares = [float(rising(jnp.int32(step))) for step in (0, 1, 3, 4, 100)]
    assert shares == [0.25, 0.5, 1.0, 1.0, 1.0]
    assert float(at_once(0)) == 1.0


def test_scaled_optimizer_has_the_state_of_the_other():
    adam = optax.adam(1e-2)
    half = states.scaled(adam, 0.5)
    params, grads = {"w": jnp.ones(3)}, {"w": jnp.array([1.0, -2.0, 3.0])}
    (whole, after), (other, same) = (
        optimizer.update(grads, optimizer.init(params), params)
        for optimizer in (adam, half)
    )
    np.testing.assert_allclose(other["w"], 0.5 * whole["w"], rtol=1e-6)
    assert not tiny.changed(after, same)


def test_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="'cosine'.*one_cycle"):
        states.learning_rate(1.0, schedule="cosine", num_steps=1)


def test_caption_mask_is_true_on_real_words():
    config = tiny.tiny_config()
    batch = tiny.batch(config, "gan")
    text = states.weights(jax.jit(tiny.stem(config).create)(jax.random.key(0)).text)
    captions = stem.encode_captions(
        build.text_encoder(config, tiny.VOCAB),
        text,
        batch["tokens"],
        batch["length"],
    )
    np.testing.assert_array_equal(captions.mask, batch["tokens"] > 0)
    assert np.abs(np.asarray(captions.words)[~captions.mask]).max() == 0


@pytest.mark.full
@pytest.mark.parametrize("stage", ["stem", "stream", "gan"])
def test_bfloat16_activations_keep_state_and_losses_wide(stage):
    found = {}
    for dtype in ("float32", "bfloat16"):
        config = tiny.tiny_config(dtype=dtype)
        trainer = getattr(tiny, stage)(config)
        state = jax.jit(trainer.create)(jax.random.key(0))
        frozen = tiny_frozen(stage)
        state, metrics = jax.jit(trainer.train_step)(
            state, frozen, tiny.batch(config, stage), jax.random.key(1)
        )
        found[dtype] = metrics
        dtypes = {leaf.dtype for leaf in jax.tree.leaves((state, metrics))}
        assert dtypes <= {jnp.dtype("float32"), jnp.dtype("int32")}
    for name, value in found["float32"].items():
        if name.endswith("/loss"):
            np.testing.assert_allclose(found["bfloat16"][name], value, rtol=0.05)


@functools.cache
def tiny_frozen(stage):
    """The frozen trees of a stage in float32, the same for every dtype."""
    return getattr(tiny, stage)(tiny.tiny_config()).frozen
