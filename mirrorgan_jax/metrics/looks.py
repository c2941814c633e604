"""Measures that look through feature networks: a result a network, named by it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mirrorgan_jax.metrics import features
from mirrorgan_jax.metrics.result import Refused, Result
from mirrorgan_jax.weights import backbones

# Of the largest deviation: a feature below it all but never answers to real images, and
# standardised its few answers would be all that FID and KID see.
_SILENT = 0.03


@dataclasses.dataclass(frozen=True)
class Look:
    """What a feature network made of the images of an evaluation.

    Attributes:
      network: the network.
      seen: {"generated", "real": {"features" [n, D], "log_probs" tuple of [n, C]}} of
        8-bit images.
      crop: pixels of the real images that it saw.
    """

    network: features.FeatureNetwork
    seen: Mapping[str, Mapping[str, Any]]
    crop: int

    def features(self, images: str) -> np.ndarray:
        """[n, D] features that FID and KID compare, standardised where they must be.

        Args:
          images: "generated" or "real".
        """
        found = self.seen[images]["features"]
        if not self.network.standardised:
            return found
        real = np.asarray(self.seen["real"]["features"], np.float64)
        deviation = real.std(0)
        kept = deviation > _SILENT * deviation.max()
        return ((found - real.mean(0)) / np.where(kept, deviation, 1))[:, kept]

    def scale(self) -> dict[str, str]:
        """What protocols and files say of features that are not the network's own."""
        if not self.network.standardised:
            return {}
        return {"scale of features": "mean 0 and deviation 1 on the real images"}


def ordered(looks: Mapping[str, Look | str], first: str) -> list[str]:
    """Names of networks, the one that a measure is published with at the front."""
    return sorted(looks, key=lambda name: name != first)


def through_each(
    looks: Mapping[str, Look | str],
    title: str,
    measure: Callable[[Look, str], Result],
    *,
    first: str,
) -> dict[str, Result | Refused]:
    """What a measure finds through every network, or why it finds nothing.

    Args:
      looks: {network: `Look`, or the sentence that says why there is none}.
      title: of the measure.
      measure: `measure(look, title with the network's name)`; a `ValueError` refuses.
      first: the network that the measure is published with.

    Returns:
      {network: what was found}, in the order of `ordered`.

    Raises:
      ValueError: there is no network at all.
    """
    if not looks:
        given = ", ".join(
            f"config.eval.{kind} ({backbones.SOURCES[kind]})" for kind in features.KINDS
        )
        raise ValueError(f"no feature network: give the file of {given}")
    found = {}
    for name in ordered(looks, first):
        look, named = looks[name], f"{title} ({name})"
        try:
            if isinstance(look, str):
                raise ValueError(look)
            found[name] = measure(look, named)
        except ValueError as error:
            found[name] = Refused(named, str(error))
    return found
