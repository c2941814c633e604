"""KID against the definition, pair by pair."""

import numpy as np
import pytest

from mirrorgan_jax.metrics import kid

RNG = np.random.default_rng(0)


def test_one_subset_of_everything_is_the_unbiased_estimate():
    real, fake = RNG.normal(0, 1, (7, 3)), RNG.normal(0.5, 2, (7, 3))

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    pairs = [(i, j) for i in range(7) for j in range(7)]
    within = sum(
        np.mean([k(x[i], x[j]) for i, j in pairs if i != j]) for x in (real, fake)
    )
    expected = within - 2 * np.mean([k(real[i], fake[j]) for i, j in pairs])
    found = kid.kid(real, fake, subsets=2, subset_size=7)
    assert found["mean"] == pytest.approx(expected, rel=1e-10)
    assert found["deviation"] == pytest.approx(0, abs=1e-10)


def test_same_distribution_is_near_zero_and_another_is_not():
    one, two = RNG.normal(0, 1, (2, 400, 8))
    same = kid.kid(one, two, subsets=20, subset_size=200)
    other = kid.kid(one, two + 1, subsets=20, subset_size=200)
    # The estimate is unbiased: it scatters around zero.
    assert abs(same["mean"]) < 0.1 < 1 < other["mean"]


def test_seed_decides_the_subsets():
    one, two = RNG.normal(0, 1, (2, 50, 4))
    values = [kid.kid(one, two, subsets=3, subset_size=10, seed=s) for s in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize(
    ("real", "fake", "size", "message"),
    [
        (np.zeros((9, 2)), np.zeros((8, 2)), 9, "8 generated ones: allowed are 2 to 8"),
        (np.zeros((9, 2)), np.zeros((9, 3)), 9, "2 and 3 features"),
        (np.full((9, 2), np.inf), np.zeros((9, 2)), 9, "finite"),
        (np.zeros((9, 2)), np.zeros((9, 2)), 1, "allowed are 2 to 9"),
    ],
)
def test_what_does_not_fit_is_refused(real, fake, size, message):
    with pytest.raises(ValueError, match=message):
        kid.kid(real, fake, subset_size=size)
