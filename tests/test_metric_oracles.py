"""Metrics against torch-fidelity on the same arrays, where that is installed.

`pip install torch torchvision torch-fidelity` beside the package; without it the tests
are skipped.
"""

import numpy as np
import pytest

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


def test_fid_agrees(features):
    from torch_fidelity import metric_fid

    statistics = [
        metric_fid.fid_features_to_statistics(torch.from_numpy(x)) for x in features
    ]
    theirs = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    ours = [fid.Moments(64), fid.Moments(64)]
    for moments, values in zip(ours, features, strict=True):
        for part in np.array_split(values, 7):
            moments.update(part)
    # Both in float64; they differ in how the root of the product is taken.
    assert fid.frechet_distance(*ours) == pytest.approx(
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
    log_probs = shuffled - np.logaddexp.reduce(shuffled, axis=1, keepdims=True)
    ours = inception_score.inception_score(log_probs, splits=10, seed=0)
    assert ours["mean"] == pytest.approx(theirs["inception_score_mean"], rel=1e-8)
    assert ours["deviation"] == pytest.approx(theirs["inception_score_std"], rel=1e-8)
