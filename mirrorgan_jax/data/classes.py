"""Classes of training pictures: those of one class are never each other's mismatch."""

import numpy as np

# One batch of 16 in ten may be of one class: a class of 87 % of the pictures.
_SMALL_BATCH, _ONE_CLASS = 16, 0.1


def problem(class_ids: np.ndarray) -> str | None:
    """Why pictures of such classes cannot teach STEM, or None.

    Args:
      class_ids: [N] of the training pictures.
    """
    number = len(class_ids)
    if number < 2:
        return f"{number} training picture: captions need another to be mismatched with"
    values, counts = np.unique(class_ids, return_counts=True)
    largest, count = values[counts.argmax()], counts.max()
    if (count / number) ** _SMALL_BATCH <= _ONE_CLASS:
        return None
    return (
        f"{count:,} of {number:,} training pictures are of class {largest}: a batch of"
        " these alone has no negatives, and its matching losses are 0; give true"
        " classes, or none (every picture is then its own)"
    )
