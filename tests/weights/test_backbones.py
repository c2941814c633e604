"""Backbone files: complete maps, round trips, and clear refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from safetensors import numpy as safetensors
from support import weight_rule

from mirrorgan_jax.models import resnet
from mirrorgan_jax.weights import backbones, names


def zeros(network):
    """A zero state dict with torchvision's names and shapes."""
    shapes = weight_rule.table(network)
    return {name: np.zeros(shape, np.float16) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("network", "modules"),
    [
        ("CNN_ENCODER_256", names.image_encoder()),
        ("CAPTION_CNN_256", names.caption_encoder()),
        ("CAPTION_RNN_256_512_5450", names.caption_decoder()),
    ],
)
def test_reference_names_survive_the_round_trip(network, modules):
    shapes = weight_rule.table(network)
    state = {k: np.broadcast_to(np.float32(0), shape) for k, shape in shapes.items()}
    back = names.to_state_dict(names.to_tree(state, modules), modules)
    assert {name: array.shape for name, array in back.items()} == shapes


@pytest.mark.slow
@pytest.mark.parametrize("network", ["inception_v3", "resnet152"])
def test_torchvision_file_loads_without_its_classifiers(tmp_path, network):
    state = zeros(f"torchvision_{network}")
    path = tmp_path / "weights.safetensors"
    safetensors.save_file(state, path)
    tree = getattr(backbones, network)(path)
    kept = [n for n in state if not n.startswith(("fc.", "AuxLogits."))]
    assert len(jax.tree.leaves(tree)) == len(kept)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(tree))


@pytest.fixture
def small(monkeypatch):
    """A ResNet of one block a stage in ResNet-152's place, and its tensors."""
    trunk = resnet.ResNet((1, 1, 1, 1), 2, (1, 1, 1, 1))
    monkeypatch.setattr(backbones.resnet_models, "resnet152", lambda: trunk)
    images = jnp.zeros((1, 32, 32, 3))
    tree = jax.tree.map(np.asarray, trunk.init(jax.random.key(0), images, train=False))
    return tree, names.to_state_dict(tree, names.resnet(trunk.stage_sizes))


def test_file_gives_the_tree(tmp_path, small):
    tree, state = small
    path = tmp_path / "a.safetensors"
    state = {k: np.ascontiguousarray(v) for k, v in state.items()}
    safetensors.save_file({**state, "fc.bias": np.zeros(3, np.float32)}, path)
    loaded = backbones.resnet152(path)
    assert jax.tree.structure(loaded) == jax.tree.structure(tree)
    for ours, expected in zip(*map(jax.tree.leaves, (loaded, tree)), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bn1.bias": None}, "missing are bn1.bias;"),
        ({"layer4.0.conv3.weight": None}, "missing are layer4.0.conv3.weight;"),
        (
            {"conv1.weight": np.zeros((2, 3, 3, 3), np.float32)},
            r"another shape are conv1.weight \(2, 3, 3, 3\), not \(2, 3, 7, 7\)",
        ),
        ({"head.weight": np.zeros((2, 3), np.float32)}, "no place has head.weight;"),
        ({"conv1.weight": np.zeros((2, 3, 7, 7), int)}, "are no floats: conv1.weight"),
    ],
)
def test_unfit_file_is_refused_by_name(tmp_path, small, change, message):
    state = {k: np.ascontiguousarray(v) for k, v in {**small[1]}.items()}
    for name, value in change.items():
        state.pop(name, None)
        if value is not None:
            state[name] = value
    path = tmp_path / "a.safetensors"
    safetensors.save_file(state, path)
    with pytest.raises(ValueError, match=message):
        backbones.resnet152(path)


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        ("inception_v3", "counted"),
        ("inception_fid", "fid"),
        ("inception_cub", "uncounted"),
    ],
)
def test_classifier_pools_as_the_network_of_its_kind(
    tmp_path, monkeypatch, kind, pooling
):
    class Classifier(nn.Module):
        """In Inception's place: the means of the colours are its features."""

        num_classes: int
        pooling: str

        @nn.compact
        def __call__(self, images):
            return nn.Dense(self.num_classes, name="fc")(images.mean((1, 2)))

    monkeypatch.setattr(backbones.inception, "InceptionClassifier", Classifier)
    monkeypatch.setattr(names, "inception_v3", lambda path: {})
    path = tmp_path / "a.safetensors"
    state = {"fc.weight": np.ones((5, 3), "f4"), "fc.bias": np.zeros(5, "f4")}
    safetensors.save_file(state, path)
    module, variables = backbones.inception_classifier(path, kind)
    assert (module.num_classes, module.pooling) == (5, pooling)
    assert variables["params"]["fc"]["kernel"].shape == (3, 5)


def test_absent_file_names_its_source(tmp_path):
    with pytest.raises(FileNotFoundError, match="torchvision's resnet152"):
        backbones.resnet152(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="inception.pth does not exist"):
        backbones.inception_v3(tmp_path / "inception.pth")


@pytest.mark.parametrize(
    ("classes", "kind", "said"),
    [
        (1000, "inception_fid", "1000 classes is inception_v3, not inception_fid"),
        (1008, "inception_cub", "1008 classes is inception_fid, not inception_cub"),
        (None, "inception_v3", "no tensor fc.weight, the classifier of inception_v3"),
    ],
)
def test_mislabelled_classifier_is_refused(tmp_path, classes, kind, said):
    path = tmp_path / "a.safetensors"
    state = {"Conv2d_1a_3x3.conv.weight": np.zeros((2, 3, 3, 3), "f4")}
    if classes:
        state["fc.weight"] = np.zeros((classes, 2), "f4")
    safetensors.save_file(state, path)
    with pytest.raises(ValueError, match=said):
        backbones.inception_classifier(path, kind)
