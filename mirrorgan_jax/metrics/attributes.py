"""Attribute accuracy: do images show the attributes that their captions ask for?

A small classifier, trained on real images whose attributes are known, reads them. It
knows nothing of the DAMSM, whose R-precision a generator can flatter (it is trained
against the same encoders). Of a part that its caption does not mention an image owes
nothing: there its attribute, compared with the one that was drawn where the caption was
written, says what would be right by chance.
"""

import numpy as np

from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import Observed

TITLE = "Attribute accuracy"
UNASKED = "generated, where nothing was asked"


def asked(observed: Observed) -> dict[str, np.ndarray]:
    """{part: [n] number of the value that each caption asks for, -1 where none is}.

    Raises:
      ValueError: no caption speaks of any part.
    """
    stated = [observed.stated(tokens) for tokens in observed.tokens]
    found = {}
    for part in observed.drawn:
        numbers = {v: i for i, v in enumerate(observed.truth.values[part])}
        wanted = [numbers[said[part]] if part in said else -1 for said in stated]
        found[part] = np.array(wanted)
    if max(wanted.max() for wanted in found.values()) < 0:
        parts = ", ".join(observed.drawn)
        raise ValueError(f"no caption speaks of {parts}: nothing was asked for")
    return found


def _share(shown, wanted, counted):
    """Percentage of the counted images that show what was wanted, NaN of none."""
    right = (shown == wanted)[counted]
    return 100 * float(right.mean()) if right.size else float("nan")


def measure(observed: Observed) -> results.Result | None:
    """Share of images that show what their captions ask for, part by part, in %.

    Returns:
      None where no truth is known.

    Raises:
      ValueError: no caption speaks of any part.
    """
    if observed.attributes is None:
        return None
    wanted, settings = asked(observed), observed.settings
    read = {
        images: {part: heads[part].argmax(1) for part in wanted}
        for images, heads in observed.attributes.items()
    }
    rows = {}
    for images, shown in read.items():
        of_side = {part: ids[: len(shown[part])] for part, ids in wanted.items()}
        rows[results.Source(images)] = results.Row(
            {part: _share(shown[part], ids, ids >= 0) for part, ids in of_side.items()}
        )
    generated = read["generated"]
    rows[results.Source(UNASKED)] = results.Row(
        {
            part: _share(generated[part], observed.drawn[part], ids < 0)
            for part, ids in wanted.items()
        }
    )
    rows[results.Source("chance")] = results.Row(
        {part: 100 / len(observed.truth.values[part]) for part in wanted}
    )
    counts = ", ".join(f"{part} {(ids >= 0).sum()}" for part, ids in wanted.items())
    return results.Result(
        title=TITLE,
        unit="%",
        better="higher",
        protocol={
            **observed.counts(),
            "asked": f"{counts} of {len(observed.tokens)} captions",
            "right": "the value that the caption asks for, counted where it speaks of"
            " the part",
            "where nothing was asked": "the value that was drawn where the caption was"
            " written, counted where it does not speak of the part",
            "classifier": f"{settings['classifier_steps']} steps on"
            f" {settings['classifier_images']} other images of random attributes",
            "seed": observed.seed,
        },
        columns=tuple(wanted),
        rows=rows,
    )
