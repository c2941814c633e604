"""FID: streaming moments, the distance, and reference files."""

import numpy as np
import pytest

from mirrorgan_jax.metrics import fid

RNG = np.random.default_rng(0)
PROTOCOL = {"data": "toybirds", "images": 60, "network": "a"}


def moments(features):
    found = fid.Moments(features.shape[1])
    found.update(features)
    return found


def test_batches_and_merges_give_the_moments_of_all():
    # A large mean beside a small deviation: sums of squares would lose it.
    features = 1e6 + RNG.normal(0, 1e-2, (50, 5))
    found = fid.Moments(5)
    for part in np.array_split(features, [7, 8, 30]):
        found.update(part)
    other = moments(features[20:])
    other.merge(moments(features[:20]))
    for got in (found, other):
        assert got.count == 50
        np.testing.assert_allclose(got.mean, features.mean(0), rtol=1e-14)
        np.testing.assert_allclose(
            got.covariance, np.cov(features, rowvar=False), rtol=1e-5, atol=1e-12
        )


def test_distance_of_gaussians_along_axes():
    # Diagonal covariances: the sum of (difference of deviations)^2, by hand.
    n, a, b = 10, np.diag([4.0, 9.0]), np.diag([1.0, 25.0])
    one = fid.Moments.of(n, [0.0, 0.0], a)
    two = fid.Moments.of(n, [3.0, 4.0], b)
    assert fid.frechet_distance(one, two) == pytest.approx(25 + 1 + 4)
    assert fid.frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_distance_equals_that_of_a_general_matrix_root():
    one, two = RNG.normal(0, 1, (2, 60, 6))
    two = two @ RNG.normal(0, 1, (6, 6)) + 0.3
    a, b = moments(one), moments(two)
    # tr((AB)^1/2) from the eigenvalues of the product itself, which is not symmetric.
    roots = np.sqrt(np.linalg.eigvals(a.covariance @ b.covariance).real).sum()
    expected = (
        ((a.mean - b.mean) ** 2).sum()
        + np.trace(a.covariance + b.covariance)
        - 2 * roots
    )
    assert fid.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert fid.frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((3, 4)), r"allowed is \[b, 3\]"),
        (np.full((3, 3), np.nan), "not finite"),
    ],
)
def test_features_that_do_not_fit_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        fid.Moments(3).update(features)


def test_too_few_images_are_refused_with_what_would_do():
    a, b = moments(RNG.normal(0, 1, (6, 6))), moments(RNG.normal(0, 1, (60, 6)))
    with pytest.raises(ValueError, match="6 images for 6 features.* more than 6"):
        fid.frechet_distance(a, b)
    with pytest.raises(ValueError, match="6 and 5 dimensions"):
        fid.frechet_distance(b, moments(RNG.normal(0, 1, (60, 5))))
    with pytest.raises(ValueError, match="it is none"):
        fid.frechet_distance(b, fid.Moments.of(60, np.zeros(6), -np.eye(6)))


def test_reference_survives_the_file(tmp_path):
    saved = moments(RNG.normal(0, 1, (60, 6)))
    fid.save_reference(tmp_path / "a.npz", saved, PROTOCOL)
    found = fid.load_reference(tmp_path / "a.npz", PROTOCOL)
    assert found.count == 60
    np.testing.assert_array_equal(found.mean, saved.mean)
    np.testing.assert_allclose(found.covariance, saved.covariance, rtol=1e-12)


def test_protocol_may_hold_what_json_changes(tmp_path):
    protocol = {"sizes": (64, 128)}
    fid.save_reference(tmp_path / "a.npz", moments(RNG.normal(0, 1, (9, 2))), protocol)
    assert fid.load_reference(tmp_path / "a.npz", protocol).count == 9


def test_reference_of_another_protocol_is_named(tmp_path):
    fid.save_reference(tmp_path / "a.npz", moments(RNG.normal(0, 1, (9, 2))), PROTOCOL)
    with pytest.raises(ValueError, match="network = 'a' instead of 'b'"):
        fid.load_reference(tmp_path / "a.npz", {**PROTOCOL, "network": "b"})


def test_changed_or_foreign_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    fid.save_reference(path, moments(RNG.normal(0, 1, (9, 2))), PROTOCOL)
    with np.load(path) as stored:
        values = dict(stored)
    np.savez(path, **{**values, "mean": values["mean"] + 1e-9})
    with pytest.raises(ValueError, match="SHA-256"):
        fid.load_reference(path, PROTOCOL)
    np.savez(path, mu=values["mean"])
    with pytest.raises(ValueError, match="no reference statistics"):
        fid.load_reference(path, PROTOCOL)
    np.savez(path, **{**values, "protocol": np.array("5")})
    with pytest.raises(ValueError, match="no reference statistics"):
        fid.load_reference(path, PROTOCOL)
    # Pickled objects are code: never read.
    np.savez(path, **{**values, "protocol": np.array(object())})
    with pytest.raises(ValueError, match="no reference statistics"):
        fid.load_reference(path, PROTOCOL)


@pytest.mark.parametrize("damage", ["absent", "empty", "text", "array", "cut", "flip"])
def test_damaged_files_are_refused(tmp_path, damage):
    path = tmp_path / "a.npz"
    fid.save_reference(path, moments(RNG.normal(0, 1, (9, 2))), PROTOCOL)
    whole = path.read_bytes()
    if damage == "absent":
        path.unlink()
    elif damage == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        at = whole.index(b"covariance.npy") + 140  # in its numbers
        flipped = whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]
        path.write_bytes(
            {"empty": b"", "text": b"a,b\n1,2\n", "cut": whole[:600], "flip": flipped}[
                damage
            ]
        )
    with pytest.raises(ValueError, match="a.npz: no reference statistics of ours"):
        fid.load_reference(path, PROTOCOL)
