"""STREAM: reference fixtures of both halves, teacher forcing, greedy captions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import parity, parity_networks, weight_rule

from mirrorgan_jax.losses import captioning
from mirrorgan_jax.models import resize, stream
from mirrorgan_jax.weights import names


def packed(values, lengths):
    """Rows of real words in PyTorch's packed (time-major) order."""
    real = np.arange(values.shape[1])[:, None] < lengths
    return np.asarray(values).swapaxes(0, 1)[real]


def test_decoder_equals_reference():
    fixture = parity.load("06a_caption_rnn")
    modules = names.caption_decoder()
    tree = names.to_tree(fixture.state(), modules)
    decoder = stream.CaptionDecoder(23, embed_dim=16, hidden_dim=32)
    tokens, lengths = fixture["in/captions"], fixture["in/cap_lens"]

    def loss(params, features):
        seen = stream.Seen(features)
        logits = decoder.apply({"params": params}, seen, tokens).logits
        value = captioning.caption_loss(logits, tokens, lengths, reduction="mean")
        return value, logits

    grad = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    (value, logits), (params, features) = grad(tree["params"], fixture["in/features"])
    fixture.assert_close(packed(logits, lengths), "out/logits_packed")
    fixture.assert_close(value, "out/caption_loss")
    fixture.assert_close(features, "out/grad_features")
    for name, array in names.to_state_dict({"params": params}, modules).items():
        fixture.assert_close(array, f"out/grad/{name}")
    seen = stream.Seen(fixture["in/features"])
    ids = decoder.apply(tree, seen, 20, method="greedy")
    np.testing.assert_array_equal(ids, fixture["out/sample"])


def test_full_size_decoder_equals_reference(tmp_path):
    fixture = parity.load("09g_full_caption_rnn")
    salt, shapes = "shared-1", weight_rule.table("CAPTION_RNN_256_512_5450")
    state = weight_rule.weights(
        salt, shapes, lambda name: 6.0 if name == "linear.weight" else 1.5
    )
    tree = parity_networks.imported(tmp_path, state, names.caption_decoder())
    features = weight_rule.inputs(salt, "caption_feature", (2, 256), np.sqrt(3))
    seen = stream.Seen(features)
    decoder = stream.CaptionDecoder(5450)
    lengths = np.array([18, 11])
    tokens = np.zeros((2, 18), np.int32)
    tokens.T[np.arange(18)[:, None] < lengths] = fixture["out/target_packed"]
    logits = decoder.apply(tree, seen, tokens).logits
    real = packed(logits, lengths)
    fixture.assert_close(real[:, ::50], "out/logits_packed_stride50")
    fixture.assert_close(jax.nn.logsumexp(real, -1), "out/logsumexp_packed")
    loss = captioning.caption_loss(logits, tokens, lengths, reduction="mean")
    fixture.assert_close(loss, "out/caption_loss")
    ids = decoder.apply(tree, seen, 20, method="greedy")
    np.testing.assert_array_equal(ids, fixture["out/sample"])


REDUCED = {
    "feature_dim": 16,
    "input_norm": "raw",
    "stage_sizes": (2, 2, 2, 2),
    "stem_width": 8,
    "stage_widths": (8, 16, 32, 64),
}


@pytest.mark.parametrize("corners", [True, False])
def test_encoder_equals_reference(corners):
    fixture = parity.load("06b_caption_cnn_reduced")
    suffix = "_ac1" if corners else "_ac0"
    modules = names.caption_encoder((2, 2, 2, 2))
    tree = names.to_tree(fixture.state(), modules)
    encoder = stream.CaptionEncoder(align_corners=corners, **REDUCED)
    images = parity.nhwc(fixture["in/img"])

    def project(images):
        features = encoder.apply(tree, images, train=False).feature
        return jnp.sum(features * fixture["in/r"]), features

    gradient, features = jax.jit(jax.grad(project, has_aux=True))(images)
    fixture.assert_close(features, f"out/eval_features{suffix}")
    look = jax.jit(lambda x: encoder.apply(tree, x, train=False, method="look"))
    fixture.assert_close(look(images)[1], f"out/eval_pooled{suffix}")
    # float32 noise reaches single pixels through ReLUs close to zero.
    expected = parity.nhwc(fixture[f"out/eval_grad_img_stride4{suffix}"])
    error = np.linalg.norm(gradient[:, ::4, ::4] - expected)
    assert error < 2e-2 * np.linalg.norm(expected)

    train = jax.jit(
        lambda x: encoder.apply(tree, x, train=True, mutable=["batch_stats"])
    )
    seen, state = train(images)
    fixture.assert_close(seen.feature, f"out/train_features{suffix}")
    if corners:
        for name, array in names.to_state_dict(state, modules).items():
            fixture.assert_close(array, f"out/train_state_ac1/{name}")


@pytest.fixture(scope="module")
def captioner():
    model = stream.Captioner(
        stream.CaptionEncoder(backbone="small", feature_dim=12, width=4),
        stream.CaptionDecoder(9, embed_dim=12, hidden_dim=10, num_layers=2),
    )
    images = jax.random.uniform(jax.random.key(0), (3, 32, 32, 3), minval=-1)
    tokens = jax.random.randint(jax.random.key(1), (3, 6), 1, 9)
    return model, model.init(jax.random.key(2), images, tokens, train=False), images


def test_position_sees_image_and_earlier_words_only(captioner):
    model, variables, images = captioner
    tokens = jnp.array([[1, 2, 3, 4, 5, 6]] * 3)
    before = model.apply(variables, images, tokens, train=False)
    after = model.apply(variables, images, tokens.at[:, 3].set(7), train=False)
    assert before.shape == (3, 6, 9)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).any(-1).all()
    other = model.apply(variables, -images, tokens, train=False)
    assert (before != other).any(-1).all()


def test_greedy_follows_teacher_forced_argmax(captioner):
    model, variables, images = captioner
    ids = model.apply(variables, images, 6, method="redescribe")
    logits = model.apply(variables, images, ids, train=False)
    assert ids.shape == (3, 6) and ids.dtype == jnp.int32
    np.testing.assert_array_equal(ids, logits.argmax(-1))


def test_forget_gates_start_open():
    model = stream.CaptionDecoder(9, embed_dim=3, hidden_dim=16)
    start = (stream.Seen(jnp.zeros((1, 3))), jnp.ones((1, 2), int))
    params = model.init(jax.random.key(0), *start)["params"]
    bias = params["forward_0"]["input_bias"].reshape(4, 16)
    np.testing.assert_allclose(bias.mean(1), [0, 2, 0, 0], atol=0.25)


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_trunk_keeps_its_statistics(frozen):
    model = stream.CaptionEncoder(
        backbone="small", feature_dim=4, width=4, freeze_trunk=frozen
    )
    images = jax.random.uniform(jax.random.key(0), (3, 32, 32, 3), minval=-1)
    variables = model.init(jax.random.key(2), images, train=False)
    _, new = model.apply(variables, images, train=True, mutable=["batch_stats"])
    old, new = variables["batch_stats"], new["batch_stats"]
    same = jax.tree.map(lambda a, b: bool((a == b).all()), old, new)
    assert all(jax.tree.leaves(same["trunk"])) is frozen
    assert not any(jax.tree.leaves(same["bn"]))


def test_statistics_of_the_feature_move_by_a_hundredth():
    class Feature(stream.CaptionEncoder):
        def look(self, images, *, train):
            return images[:, None, None], images

    model = Feature(feature_dim=2)
    pooled = jax.random.normal(jax.random.key(0), (5, 3))
    variables = model.init(jax.random.key(1), pooled, train=False)
    dense = variables["params"]["linear"]
    batch = np.asarray(pooled @ dense["kernel"])  # its bias starts at zero
    _, new = model.apply(variables, pooled, train=True, mutable=["batch_stats"])
    new = new["batch_stats"]["bn"]
    np.testing.assert_allclose(new["mean"], 0.01 * batch.mean(0), rtol=1e-4)
    variance = 0.99 + 0.01 * batch.var(0, ddof=1)
    np.testing.assert_allclose(new["var"], variance, rtol=1e-5)


def test_small_trunk_enlarges_images_of_fewer_stages():
    images = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3), minval=-1)
    large = resize.resize(images, 32, align_corners=False, antialias=False)
    model = stream.CaptionEncoder(
        backbone="small", feature_dim=4, width=4, image_size=32
    )
    run = jax.jit(lambda x: model.init_with_output(jax.random.key(2), x, train=False))
    # The resize is a part of one of the programs: the last bits may differ.
    for ours, wanted in zip(run(images)[0], run(large)[0], strict=True):
        np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_imagenet_norm_is_torchvisions():
    class Probe(stream.CaptionEncoder):
        def setup(self):
            self.trunk = lambda images, train: images

    model = Probe(input_size=0)
    white = model.apply({}, jnp.ones((1, 2, 2, 3)), train=False, method="look")
    np.testing.assert_allclose(white[0, 0, 0], [2.2489, 2.4286, 2.64], atol=1e-4)


@pytest.mark.parametrize(
    "wrong", [{"backbone": "vgg"}, {"backbone": "small", "input_norm": "none"}]
)
def test_encoder_refuses_unknown_settings(wrong):
    model = stream.CaptionEncoder(**wrong)
    with pytest.raises(ValueError, match="one of"):
        model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
