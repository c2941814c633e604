"""Shapes, sizes and branches of the generator."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mirrorgan_jax.models import glam, layers


def inputs(z=5, condition=6, dim=8, words=7):
    key = jax.random.key(1)
    mask = jnp.arange(words)[None] < jnp.array([[words], [3]])
    return (
        jax.random.normal(key, (2, z)),
        jax.random.normal(key, (2, condition)),
        jax.random.normal(key, (2, dim)),
        jax.random.normal(key, (2, words, dim)),
        mask,
    )


def small(**kwargs):
    return glam.Generator(**{"base_size": 16, "ngf": 2, "condition_dim": 6, **kwargs})


def shapes(module, *args):
    init = functools.partial(module.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), *args)["params"]


def test_full_size_has_the_papers_number_of_parameters():
    params = shapes(glam.Generator(sentence_conv=True), *inputs(100, 100, 256, 18))
    assert sum(p.size for p in jax.tree.leaves(params)) == 7_105_392


@pytest.mark.parametrize(("stages", "base_size"), [(1, 8), (2, 32), (3, 8), (3, 64)])
def test_output_has_every_stage(stages, base_size):
    module = small(stages=stages, base_size=base_size)
    init = functools.partial(module.init_with_output, train=False)
    out, _ = jax.eval_shape(init, jax.random.key(0), *inputs())
    sizes = [base_size * 2**i for i in range(stages)]
    assert [x.shape for x in out.images] == [(2, q, q, 3) for q in sizes]
    before = sizes[:-1]
    assert [x.shape for x in out.word_attention] == [(2, q, q, 7) for q in before]
    assert [x.shape for x in out.sentence_attention] == [(2, q, q, 2) for q in before]
    assert out.mu.shape == out.logvar.shape == (2, 6)


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("sentence", [False, True])
def test_contexts_can_be_switched_off(words, sentence):
    module = small(stages=2, word_context=words, sentence_context=sentence)
    stage = shapes(module, *inputs())["stage_1"]
    assert stage["reduce"]["kernel"].shape[2] == 2 * (1 + words + sentence)
    attention = stage.get("attention", {})
    assert ("word_projection" in attention) == words
    assert ("sentence_projection" in attention) == sentence


def test_condition_is_joined_to_every_pixel():
    stage = glam.NextStage(
        num_residual=0,
        softmax_axis="channel",
        sentence_conv=False,
        word_context=False,
        sentence_context=False,
        condition_context=True,
    )
    features = jax.random.normal(jax.random.key(2), (2, 4, 4, 3))
    _, condition, _, words, mask = inputs()
    args = (features, condition, words, mask)
    run = jax.jit(functools.partial(stage.init_with_output, train=False))
    (actual, *maps), variables = run(jax.random.key(0), *args)
    assert maps == [None, None]
    params = variables["params"]
    kernel = jnp.concatenate(
        [params[name]["kernel"][0, 0] for name in ("reduce", "reduce_condition")]
    )
    spread = jnp.broadcast_to(condition[:, None, None], (2, 4, 4, 6))
    joined = jnp.concatenate([features, spread], -1) @ kernel
    up = {key: tree["up"] for key, tree in variables.items()}
    expected = layers.UpBlock(3).apply(up, joined, train=False)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_condition_context_alone_sees_no_words():
    module = small(
        stages=2, word_context=False, sentence_context=False, condition_context=True
    )
    z, eps, sentence, words, mask = inputs()
    init = jax.jit(functools.partial(module.init, train=False))
    variables = init(jax.random.key(0), z, eps, sentence, words, mask)
    apply = jax.jit(functools.partial(module.apply, variables, train=False))
    before, after = (apply(z, eps, sentence, w, mask) for w in (words, -words))
    np.testing.assert_array_equal(before.images[1], after.images[1])
    assert before.word_attention == before.sentence_attention == (None,)


def test_padding_and_batch_companions_have_no_influence():
    module = small(stages=2)
    z, eps, sentence, words, mask = inputs()
    init = jax.jit(functools.partial(module.init, train=False))
    variables = init(jax.random.key(0), z, eps, sentence, words, mask)
    apply = jax.jit(functools.partial(module.apply, variables, train=False))
    both = apply(z, eps, sentence, words.at[1, 3:].set(9.0), mask)
    rows = slice(1, 2)
    alone = apply(z[rows], eps[rows], sentence[rows], words[rows, :3], mask[rows, :3])
    np.testing.assert_allclose(both.images[1][rows], alone.images[1], atol=1e-5)


def test_noise_is_standard_normal_and_no_part_of_it_tells_another():
    z, eps = glam.noise(jax.random.key(0), 2000, 3, 3)
    joined = np.concatenate([z, eps], 1)
    np.testing.assert_allclose(joined.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(np.cov(joined.T), np.eye(6), atol=0.1)


def test_bfloat16_keeps_images_and_statistics_wide():
    module = small(stages=2, dtype=jnp.bfloat16)
    init = functools.partial(module.init_with_output, train=True)
    out, variables = jax.eval_shape(init, jax.random.key(0), *inputs())
    assert {x.dtype for x in jax.tree.leaves((out, variables))} == {
        jnp.dtype(jnp.float32)
    }


@pytest.mark.parametrize(("key", "value"), [("stages", 4), ("base_size", 48)])
def test_unsupported_sizes_are_refused(key, value):
    with pytest.raises(ValueError, match=f"{key} = {value}"):
        shapes(small(**{key: value}), *inputs())


def gradients_and_kept_bytes(remat):
    """Gradients of the generator, and bytes kept for its backward pass."""
    module = small(stages=2, num_residual=1, remat=remat)
    variables = jax.jit(functools.partial(module.init, train=False))(
        jax.random.key(0), *inputs()
    )

    def generate(params):
        out, updated = module.apply(
            {**variables, "params": params}, *inputs(),
            train=True, mutable=["batch_stats"],
        )  # fmt: skip
        return sum(jnp.square(image).mean() for image in out.images), updated

    _, pull, statistics = jax.vjp(generate, variables["params"], has_aux=True)
    kept = sum(leaf.nbytes for leaf in jax.tree.leaves(pull))
    return pull(jnp.float32(1))[0], statistics, kept


@pytest.mark.full
def test_remat_keeps_less_and_changes_nothing():
    found = {
        policy: gradients_and_kept_bytes(policy)
        for policy in ("none", "convolutions", "blocks")
    }
    assert found["blocks"][2] < found["convolutions"][2] < found["none"][2]
    for policy in ("convolutions", "blocks"):
        for ours, expected in zip(found[policy][:2], found["none"][:2], strict=True):
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7),
                ours,
                expected,
            )


def test_unknown_remat_is_refused():
    with pytest.raises(ValueError, match="remat = 'some'"):
        shapes(small(remat="some"), *inputs())
