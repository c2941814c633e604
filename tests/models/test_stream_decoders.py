"""Decoders that look at regions: attention in NumPy, and what all decoders keep to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import tiny

from mirrorgan_jax.models import build, stream, stream_attention, stream_transformer

VOCAB = 9
DECODERS = {
    "lstm": stream.CaptionDecoder,
    "attention": stream_attention.AttentionDecoder,
    "transformer": stream_transformer.TransformerDecoder,
}
LOOKING = ("attention", "transformer")


def captioner(decoder, **options):
    """(model, variables, images) of a captioner of three images, all weights alive."""
    model = stream.Captioner(
        stream.CaptionEncoder(backbone="small", feature_dim=12, width=4, region_size=4),
        DECODERS[decoder](VOCAB, embed_dim=12, hidden_dim=10, num_layers=2),
        **options,
    )
    images = jax.random.uniform(jax.random.key(0), (3, 32, 32, 3), minval=-1)
    tokens = jnp.ones((3, 6), int)
    init = jax.jit(lambda key: model.init(key, images, tokens, train=False))
    variables = init(jax.random.key(2))
    # Larger than at the start, so that regions and words decide what is said.
    params = jax.tree.map(lambda x: 3 * x, variables["params"]["decoder"])
    params = {**variables["params"], "decoder": params}
    return model, {**variables, "params": params}, images


@pytest.fixture(scope="module", params=LOOKING)
def looking(request):
    return captioner(request.param)


def test_position_sees_earlier_words_only(looking):
    model, variables, images = looking
    tokens = jnp.array([[1, 2, 3, 4, 5, 6]] * 3)
    run = jax.jit(lambda t: model.apply(variables, images, t, train=False))
    before, after = run(tokens), run(tokens.at[:, 3].set(7))
    assert before.shape == (3, 6, VOCAB)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).any(-1).all()


def test_every_word_sees_every_region_and_where_it_is(looking):
    model, variables, images = looking
    tokens = jnp.array([[1, 2, 3, 4, 5, 6]] * 3)
    seen = model.apply(variables, images, method=lambda m, x: m.encoder(x, train=False))

    @jax.jit
    def run(regions):
        given = seen._replace(regions=regions)
        return model.apply(variables, given, tokens, method=lambda m, *a: m.decoder(*a))

    before = run(seen.regions).logits
    assert seen.regions.shape == (3, 4, 4, 16)
    for row, column in ((0, 0), (3, 1)):
        other = run(seen.regions.at[:, row, column].add(1.0)).logits
        assert (other != before).any(-1).all()
    moved = run(jnp.flip(seen.regions, 2)).logits
    assert (np.abs(moved - before).max(-1) > 1e-4).all()


def test_greedy_follows_teacher_forced_argmax(looking):
    model, variables, images = looking
    ids = jax.jit(lambda x: model.apply(variables, x, 6, method="redescribe"))(images)
    logits = model.apply(variables, images, ids, train=False)
    assert ids.shape == (3, 6) and ids.dtype == jnp.int32
    np.testing.assert_array_equal(ids, logits.argmax(-1))
    assert len({tuple(row) for row in np.asarray(ids)}) > 1


@pytest.mark.parametrize("decoder", DECODERS)
def test_gradient_reaches_the_whole_image(decoder):
    model, variables, images = captioner(decoder)
    tokens = jnp.array([[1, 2, 3, 4, 5, 6]] * 3)

    def loss(x):
        return jax.nn.log_softmax(
            model.apply(variables, x, tokens, train=False)
        )[..., 5].sum()  # fmt: skip

    found = np.abs(jax.jit(jax.grad(loss))(images)).max(-1)
    assert np.isfinite(found).all()
    blocks = found.reshape(3, 4, 8, 4, 8).max((2, 4))
    assert (blocks > 0).all()


def test_attention_is_that_of_the_paper():
    model = stream_attention.AttentionDecoder(VOCAB, embed_dim=6, hidden_dim=8)
    rng = np.random.default_rng(0)
    seen = stream.Seen(
        rng.normal(size=(2, 6)).astype(np.float32),
        rng.normal(size=(2, 2, 3, 5)).astype(np.float32),
    )
    tokens = jnp.array([[1, 2, 3], [4, 5, 6]])
    variables = jax.jit(model.init)(jax.random.key(0), seen, tokens)
    p = jax.tree.map(lambda x: np.asarray(4 * x, np.float64), variables["params"])
    given = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), p)
    found = jax.jit(model.apply)({"params": given}, seen, tokens)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def dense(name, x, tree=p):
        return x @ tree[name]["kernel"] + tree[name].get("bias", 0)

    regions = dense("linear", seen.regions, p["regions"])
    regions = regions + p["regions"]["rows"] + p["regions"]["columns"]
    regions = regions.reshape(2, 6, 6)
    hidden, memory = np.split(np.tanh(dense("start_0", seen.feature)), 2, -1)
    cell = p["forward_0"]
    for t, words in enumerate(np.array([[0, 0], [1, 4], [2, 5]])):
        gates = p["embedding"]["embedding"][words] @ cell["input_kernel"]
        gates += cell["input_bias"] + hidden @ cell["hidden_kernel"]
        enter, forget, value, leave = np.split(gates + cell["hidden_bias"], 4, -1)
        memory = sigmoid(forget) * memory + sigmoid(enter) * np.tanh(value)
        hidden = sigmoid(leave) * np.tanh(memory)
        scores = np.tanh(dense("key", regions) + dense("query", hidden)[:, None])
        scores = np.exp(dense("score", scores)[..., 0])
        weights = scores / scores.sum(1, keepdims=True)
        context = np.einsum("br,bre->be", weights, regions)
        context *= sigmoid(dense("gate", hidden))
        mixed = np.tanh(dense("mixed", np.concatenate([hidden, context], 1)))
        logits = dense("linear", mixed)
        np.testing.assert_allclose(found.weights[:, t], weights, atol=1e-5)
        np.testing.assert_allclose(found.logits[:, t], logits, rtol=1e-4, atol=1e-4)


def test_redescription_is_nothing_after_its_end():
    model, variables, images = captioner("attention")

    class Said(stream_attention.AttentionDecoder):
        def greedy(self, seen, max_words):
            return jnp.array([[3, 0, 4, 5], [3, 4, 5, 6], [0, 7, 0, 1]], jnp.int32)

    for end_token, wanted in (
        (True, [[3, 0, 0, 0], [3, 4, 5, 6], [0, 0, 0, 0]]),
        (False, [[3, 0, 4, 5], [3, 4, 5, 6], [0, 7, 0, 1]]),
    ):
        other = stream.Captioner(
            model.encoder, Said(VOCAB, embed_dim=12, hidden_dim=10), end_token
        )
        ids = other.apply(variables, images, 4, method="redescribe")
        np.testing.assert_array_equal(ids, wanted)


@pytest.mark.parametrize(
    ("decoder", "size"), [("attention", 512), ("transformer", 256)]
)
def test_papers_sizes_look_at_49_regions(decoder, size):
    config = tiny.tiny_config(
        **{
            "stream.encoder": "resnet152", "stream.trunk_from_stem": False,
            "stream.input_size": 224, "stream.feature_dim": 256,
            "stream.hidden_dim": size, "stream.decoder": decoder,
        }
    )  # fmt: skip
    model = build.captioner(config, 5450)
    images = jax.ShapeDtypeStruct((2, 256, 256, 3), jnp.float32)
    tokens = jax.ShapeDtypeStruct((2, 18), jnp.int32)
    described, variables = jax.eval_shape(
        lambda x, t: model.init_with_output(
            jax.random.key(0), x, t, train=False, method="describe"
        ),
        images,
        tokens,
    )
    assert described.logits.shape == (2, 18, 5450)
    regions = variables["params"]["decoder"]["regions"]
    assert regions["linear"]["kernel"].shape == (2048, 256)
    assert regions["rows"].shape == (1, 7, 1, 256)
    if decoder == "attention":
        assert described.weights.shape == (2, 18, 49)


@pytest.mark.parametrize("decoder", LOOKING)
def test_half_precision_keeps_weights_and_carries_wide(decoder):
    model = DECODERS[decoder](VOCAB, embed_dim=12, hidden_dim=10, dtype=jnp.bfloat16)
    seen = stream.Seen(jnp.ones((2, 12)), jnp.ones((2, 4, 4, 3), jnp.bfloat16))
    tokens = jnp.ones((2, 5), int)
    found, variables = jax.jit(model.init_with_output)(jax.random.key(0), seen, tokens)
    assert found.logits.dtype == jnp.bfloat16
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(variables))
    ids = jax.jit(lambda v: model.apply(v, seen, 3, method="greedy"))(variables)
    assert ids.shape == (2, 3)
    if decoder == "attention":
        assert found.weights.dtype == jnp.float32
