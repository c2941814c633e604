"""Feature networks: what they say of themselves, resizing, clear refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import numpy as safetensors
from support import weight_rule

from mirrorgan_jax.metrics import classifier as classifiers
from mirrorgan_jax.metrics import features
from mirrorgan_jax.models import inception


@pytest.fixture(scope="module")
def classifier():
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    labels = np.arange(8)[:, None] % [3, 2]
    return classifiers.train_classifier(
        images, labels, {"wing": 3, "bill": 2}, steps=2, batch_size=4, seed=0
    )


def test_classifier_gives_a_head_an_attribute_and_its_last_map(classifier):
    network = features.from_classifier(classifier, "toy")
    images = np.random.default_rng(1).uniform(-1, 1, (5, 16, 16, 3)).astype("f4")
    found, heads = jax.jit(network.apply)(network.variables, images)
    assert found.shape == (5, network.dim) and network.num_classes == 3
    assert network.standardised  # the scale of its features is nobody's choice
    assert [head.shape for head in heads] == [(5, 3), (5, 2)]
    net = classifiers.AttributeNet(classifier.heads)
    logits = jax.jit(net.apply)(network.variables, images)
    for head, own in zip(heads, logits, strict=True):
        np.testing.assert_allclose(np.exp(head).sum(1), 1, rtol=1e-5)
        np.testing.assert_array_equal(head.argmax(1), own.argmax(1))


def test_digest_follows_values_names_and_types(classifier):
    tree = {"a": np.ones(3, np.float32), "b": np.zeros(2)}
    digests = {
        features.digest(t)
        for t in (
            tree,
            {**tree, "b": np.array([0.0, 1e-300])},
            {"a": tree["a"], "c": tree["b"]},
            {**tree, "a": np.ones(3)},
        )
    }
    assert len(digests) == 4
    assert features.digest(dict(reversed(tree.items()))) == features.digest(tree)
    assert features.from_classifier(classifier, "toy").weights in {
        features.digest({"params": classifier.params})
    }


def test_tensorflow_1_reads_at_multiples_of_the_scale():
    image = np.arange(100.0, dtype=np.float32)
    images = jnp.asarray(np.broadcast_to(image[None, :, None, None], (1, 100, 100, 3)))
    out = features.like_tensorflow_1(images)
    assert out.shape == (1, 299, 299, 3)
    # A ramp is interpolated exactly; past the last pixel it stays.
    expected = np.minimum(np.arange(299) * (100 / 299), 99)
    np.testing.assert_allclose(out[0, :, 0, 0], expected, rtol=1e-5, atol=1e-5)


def test_border_of_the_average_pools():
    ones = jnp.ones((1, 4, 4, 1))
    counted = inception.pooled(ones, "counted")[0, :, :, 0]
    np.testing.assert_allclose(counted[0], np.array([4, 6, 6, 4]) / 9, rtol=1e-6)
    np.testing.assert_allclose(inception.pooled(ones, "uncounted"), 1, rtol=1e-6)
    spike = jnp.zeros((1, 4, 4, 1)).at[0, 1, 1, 0].set(5.0)
    assert inception.pooled(spike, "max")[0, :3, :3, 0].min() == 5
    with pytest.raises(ValueError, match="pooling = 'other'"):
        jax.eval_shape(
            lambda x: inception.InceptionV3(pooling="other").init(
                jax.random.key(0), x, train=False
            ),
            jnp.zeros((1, 299, 299, 3)),
        )


def test_missing_network_is_said_in_a_sentence(tmp_path):
    said = "config.eval.inception_cub: .* does not exist: .*convert"
    with pytest.raises(FileNotFoundError, match=said):
        features.load("inception_cub", str(tmp_path / "a.safetensors"))


def test_file_without_a_classifier_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.save_file({"Conv2d_1a_3x3.conv.weight": np.zeros(1, "f4")}, path)
    with pytest.raises(ValueError, match="no tensor fc.weight"):
        features.load("inception_v3", str(path))


@pytest.mark.slow
def test_files_of_every_kind_load(tmp_path):
    state = {
        name: np.zeros(shape, np.float16)
        for name, shape in weight_rule.table("torchvision_inception_v3").items()
    }
    state["fc.weight"] = np.zeros((51, 2048), np.float16)
    state["fc.bias"] = np.log(np.arange(1, 52)).astype(np.float16)
    path = tmp_path / "a.safetensors"
    safetensors.save_file(state, path)
    for kind in features.KINDS:
        network = features.load(kind, str(path))
        assert network.name == kind and network.num_classes == 51
        assert network.background == (kind == "inception_cub")
        assert not network.standardised
        found, (head,) = network.apply(network.variables, jnp.zeros((1, 64, 64, 3)))
        assert found.shape == (1, 2048)
        # The scores of the graph of 2015 leave the bias out, all that differs here.
        shares = np.ones(51) if kind == "inception_fid" else np.arange(1, 52)
        # The file holds half precision.
        np.testing.assert_allclose(np.exp(head[0]), shares / shares.sum(), rtol=2e-3)
