"""Kernel Inception Distance: unbiased MMD^2 of features (Binkowski et al. 2018)."""

import numpy as np

from mirrorgan_jax.metrics import looks
from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import Observed

TITLE = "KID"
FIRST = "inception_fid"  # the network that it is defined by


def _kernel(x, y):
    """(x . y / D + 1)^3 of every pair."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _squared_mmd(x, y):
    """Unbiased estimate from m features each: a pair of one with itself is left out."""
    m = len(x)
    within = sum(
        (kernel.sum() - np.trace(kernel)) / (m * (m - 1))
        for kernel in (_kernel(x, x), _kernel(y, y))
    )
    return within - 2 * _kernel(x, y).mean()


def kid(real, generated, *, subsets=100, subset_size=1000, seed=0):
    """Kernel Inception Distance.

    Args:
      real, generated: [n, D] and [m, D] features.
      subsets: random subsets of each side.
      subset_size: features in a subset, without repetition.
      seed: of the draws.

    Returns:
      {"mean", "deviation" over the subsets, "subsets", "subset_size"}.

    Raises:
      ValueError: a side has fewer images than a subset, or features do not fit or are
        not finite.
    """
    sides = {
        "real": np.asarray(real, np.float64),
        "generated": np.asarray(generated, np.float64),
    }
    for name, features in sides.items():
        if features.ndim != 2 or not np.isfinite(features).all():
            raise ValueError(
                f"{name} features have shape {features.shape}: allowed are finite"
                " [n, D]"
            )
        if not 2 <= subset_size <= len(features):
            raise ValueError(
                f"subsets of {subset_size} images, but {len(features)} {name} ones:"
                f" allowed are 2 to {len(features)}"
            )
    if sides["real"].shape[1] != sides["generated"].shape[1] or subsets < 1:
        raise ValueError(
            f"{subsets} subsets of {sides['real'].shape[1]} and"
            f" {sides['generated'].shape[1]} features: allowed are 1 or more subsets"
            " and equal numbers of features"
        )
    rng = np.random.default_rng(seed)

    def drawn(features):
        return features[rng.choice(len(features), subset_size, replace=False)]

    values = [
        _squared_mmd(drawn(sides["real"]), drawn(sides["generated"]))
        for _ in range(subsets)
    ]
    return {
        "mean": float(np.mean(values)),
        "deviation": float(np.std(values)),
        "subsets": subsets,
        "subset_size": subset_size,
    }


def measure(observed: Observed) -> dict[str, results.Result | results.Refused]:
    """KID of generated images to the real ones, through every network.

    Raises:
      ValueError: there is no feature network.
    """

    def distance(look, title):
        return _distance(observed, look, title)

    return looks.through_each(observed.looks, TITLE, distance, first=FIRST)


def _distance(observed, look, title):
    """KID through a network; raises `ValueError` as `kid`."""
    settings = observed.settings
    found = kid(
        look.features("real"),
        look.features("generated"),
        subsets=settings["kid_subsets"],
        subset_size=settings["kid_subset_size"],
        seed=observed.seed,
    )
    row = results.Row({"mean": 1000 * found["mean"]}, 1000 * found["deviation"])
    return results.Result(
        title=title,
        unit="x 1000",
        better="lower",
        protocol={
            "subsets": found["subsets"],
            "generated in each": found["subset_size"],
            "real in each": found["subset_size"],
            "kernel": "cubic polynomial",
            **look.network.protocol(),
            **look.scale(),
            "seed": observed.seed,
        },
        columns=("mean",),
        rows={results.Source("generated"): row},
        spread=f"{found['subsets']} subsets",
    )
