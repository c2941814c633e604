"""Metrics against torch-fidelity and torchmetrics on the same arrays.

`pip install torch torchvision torch-fidelity torchmetrics` beside the package; without
them the tests are skipped.
"""

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors
from support import weight_rule

from mirrorgan_jax.metrics import features as feature_networks
from mirrorgan_jax.metrics import fid, inception_score, kid

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")


@pytest.fixture(scope="module")
def features():
    """Two sets of correlated features, different in mean and covariance."""
    rng = np.random.default_rng(0)
    mix = rng.normal(0, 1, (64, 64)) / 8
    real = rng.normal(0, 1, (500, 64))
    return real, rng.normal(0.2, 1.3, (500, 64)) @ mix


def log_softmax(logits):
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


class Flat(torch.nn.Module):
    """The network of torchmetrics' metrics: features come in as images."""

    num_features = 64

    def forward(self, x):
        return x.flatten(1)


def distance(features):
    sides = [fid.Moments(64), fid.Moments(64)]
    for moments, values in zip(sides, features, strict=True):
        for part in np.array_split(values, 7):
            moments.update(part)
    return fid.frechet_distance(*sides)


def test_fid_agrees(features):
    from torch_fidelity import metric_fid

    statistics = [
        metric_fid.fid_features_to_statistics(torch.from_numpy(x)) for x in features
    ]
    theirs = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    # Both in float64; they differ in how the root of the product is taken.
    assert distance(features) == pytest.approx(
        theirs["frechet_inception_distance"], rel=1e-8
    )


def test_kid_agrees(features):
    from torch_fidelity import metric_kid

    # One subset of everything: the two draw their subsets differently.
    theirs = metric_kid.kid_features_to_metric(
        *map(torch.from_numpy, features), kid_subsets=1, kid_subset_size=500,
        rng_seed=0, verbose=False,
    )["kernel_inception_distance_mean"]  # fmt: skip
    ours = kid.kid(*features, subsets=1, subset_size=500)["mean"]
    assert ours == pytest.approx(theirs, rel=1e-8)


def test_inception_score_agrees(features):
    from torch_fidelity import metric_isc

    # Without shuffling theirs cuts the images as they stand: so must ours be given.
    order = np.random.default_rng(0).permutation(500)
    logits = 3 * features[0][:, :40]
    shuffled = np.empty_like(logits)
    shuffled[order] = logits
    theirs = metric_isc.isc_features_to_metric(
        torch.from_numpy(logits), splits=10, shuffle=False
    )
    ours = inception_score.inception_score(log_softmax(shuffled), splits=10, seed=0)
    assert ours["mean"] == pytest.approx(theirs["inception_score_mean"], rel=1e-8)
    assert ours["deviation"] == pytest.approx(theirs["inception_score_std"], rel=1e-8)


def as_images(values):
    return torch.from_numpy(values)[:, :, None, None]


def test_torchmetrics_agree(features):
    image = pytest.importorskip("torchmetrics.image", reason="no torchmetrics")
    real, fake = features
    metrics = {
        "fid": image.FrechetInceptionDistance(Flat(), input_img_size=(64, 1, 1)),
        "kid": image.KernelInceptionDistance(Flat(), subsets=1, subset_size=500),
    }
    found = {}
    for name, metric in metrics.items():
        metric.set_dtype(torch.float64)
        metric.update(as_images(real), real=True)
        metric.update(as_images(fake), real=False)
        value = metric.compute()
        found[name] = float(value[0] if name == "kid" else value)
    score = image.InceptionScore(Flat(), splits=1)
    score.update(as_images(3 * real))
    found["inception_score"] = float(score.compute()[0])
    log_probs = log_softmax(3 * real)
    ours = {
        "fid": distance(features),
        "kid": kid.kid(real, fake, subsets=1, subset_size=500)["mean"],
        "inception_score": inception_score.inception_score(log_probs, splits=1)["mean"],
    }
    # All in float64. Their images are drawn in an order of their own: so one part only.
    assert found == pytest.approx(ours, rel=1e-8)


@pytest.mark.slow
def test_network_of_fid_agrees(tmp_path):
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    shapes = {
        name: shape
        for name, shape in weight_rule.table("torchvision_inception_v3").items()
        if not name.startswith("AuxLogits.")
    }
    shapes |= {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    # The gain keeps the differences between images through all layers.
    state = weight_rule.weights("fid", shapes, np.sqrt(2))
    torch.save({k: torch.from_numpy(v) for k, v in state.items()}, tmp_path / "a.pth")
    safetensors.save_file(state, tmp_path / "a.safetensors")
    coarse = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 3))
    images = np.kron(coarse, np.ones((1, 12, 12, 1), int)).astype(np.uint8)

    extractor = theirs.FeatureExtractorInceptionV3(
        "a", ["2048", "logits_unbiased"], str(tmp_path / "a.pth")
    )
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    pooled, logits = (x.numpy() for x in extractor(pixels))
    network = feature_networks.load("inception_fid", str(tmp_path / "a.safetensors"))
    assert (network.dim, network.num_classes) == (pooled.shape[1], logits.shape[1])
    found, (log_probs,) = jax.jit(network.apply)(
        network.variables, images.astype(np.float32) / 127.5 - 1
    )
    # Two libraries' convolutions in float32, 94 layers deep.
    scale = np.abs(pooled - pooled.mean(0)).max()
    np.testing.assert_allclose(found, pooled, atol=1e-4 * scale)
    expected = log_softmax(logits)
    np.testing.assert_allclose(log_probs, expected, atol=1e-4 * np.ptp(expected))
