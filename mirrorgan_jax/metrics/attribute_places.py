"""Where asked colours went: to the right part, to another part, or nowhere.

A generator that draws the colours of its caption on the wrong parts has read the words
and not what they belong to; one that does not draw them has not read them. Read by the
classifier of `metrics.attributes`.
"""

import numpy as np

from mirrorgan_jax.metrics import attributes
from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import OTHERS, Observed

TITLE = "Where asked colours went"
COLUMNS = ("right part", "another part", "nowhere")


def places(shown, wanted):
    """Where the value that is asked for of each part is to be seen.

    Args:
      shown: {part: [n] names of the values that the images show}.
      wanted: {part: [n] names of the values that the captions ask for, "" where they
        do not speak of the part}.

    Returns:
      {part: [m] numbers of `COLUMNS`, of the m captions that speak of the part}.
      Another part counts unless it was asked to have the same value itself.
    """
    found = {}
    for part, values in wanted.items():
        right = shown[part] == values
        elsewhere = [
            (shown[other] == values) & (wanted[other] != values)
            for other in wanted
            if other != part
        ]
        another = np.any(elsewhere, axis=0) if elsewhere else np.zeros_like(right)
        found[part] = np.where(right, 0, np.where(another, 1, 2))[values != ""]
    return found


def _row(numbers):
    """Percentages of the columns, NaN of none."""
    shares = [100 * (numbers == k).mean() if numbers.size else np.nan for k in range(3)]
    return results.Row(dict(zip(COLUMNS, map(float, shares), strict=True)))


def measure(observed: Observed) -> results.Result | None:
    """Where the colours went that captions ask for, in % of all that was asked.

    Returns:
      None where no truth is known.

    Raises:
      ValueError: no caption speaks of any part.
    """
    if observed.attributes is None:
        return None
    # The last name stands at -1, where a caption is silent.
    names = {
        part: np.array([*observed.truth.values[part], ""]) for part in observed.drawn
    }
    wanted = {
        part: names[part][ids] for part, ids in attributes.asked(observed).items()
    }
    sides = {
        images: {part: names[part][heads[part].argmax(1)] for part in names}
        for images, heads in observed.attributes.items()
    }
    sides[OTHERS] = {
        part: shown[observed.mismatched] for part, shown in sides["generated"].items()
    }
    rows = {}
    for images, shown in sides.items():
        count = len(next(iter(shown.values())))
        found = places(shown, {part: ids[:count] for part, ids in wanted.items()})
        rows[results.Source(images)] = _row(np.concatenate([*found.values()]))
        if images == "generated":
            for part, numbers in found.items():
                rows[results.Source(f"generated, {part}")] = _row(numbers)
    return results.Result(
        title=TITLE,
        unit="%",
        better="higher",
        protocol={
            **observed.counts(),
            "another part": "one that was not asked to have the same colour",
            "classifier": f"that of {attributes.TITLE.lower()}",
            "seed": observed.seed,
        },
        columns=COLUMNS,
        rows=rows,
    )
