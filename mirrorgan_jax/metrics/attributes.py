"""Attribute accuracy: do images show the attributes that their captions name?

A small classifier, trained on real images whose attributes are known, reads them. It
knows nothing of the DAMSM, whose R-precision a generator can flatter (it is trained
against the same encoders).
"""

import numpy as np

from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import Observed

TITLE = "Attribute accuracy"


def measure(observed: Observed) -> results.Result | None:
    """Share of images that show each attribute as it was asked for.

    Returns:
      None where no truth is known.
    """
    if observed.attributes is None:
        return None
    settings = observed.settings

    def right(head, asked):
        return 100 * float(np.mean(head.argmax(1) == asked[: len(head)]))

    rows = {}
    for images, heads in observed.attributes.items():
        rows[results.Source(images)] = results.Row(
            {name: right(heads[name], asked) for name, asked in observed.asked.items()}
        )
    generated = observed.attributes["generated"]
    rows[results.Source("chance")] = results.Row(
        {name: 100 / generated[name].shape[1] for name in observed.asked}
    )
    return results.Result(
        title=TITLE,
        unit="%",
        better="higher",
        protocol={
            **observed.counts(),
            "classifier": f"{settings['classifier_steps']} steps on"
            f" {settings['classifier_images']} other images of random attributes",
            "right": "what was drawn where the caption was written, whether it speaks"
            " of the part or not",
            "seed": observed.seed,
        },
        columns=tuple(observed.asked),
        rows=rows,
    )
