"""Which training pictures are held out for validation: what a run chooses by.

A choice by test pictures makes the numbers on them too good. Held-out pictures stand to
the training pictures as the test pictures do: whole classes where no test class is a
training class (CUB, paper 4.1; where every picture is its own class, pictures), and
pictures of all classes otherwise.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np


def _groups(train: Sequence[Mapping], test: Sequence[Mapping]) -> list[list[int]]:
    """Numbers of the training pictures that are held out together or not at all."""
    known = {row["class_id"] for row in train}
    if known & {row["class_id"] for row in test}:
        return [[number] for number in range(len(train))]
    found = {}
    for number, row in enumerate(train):
        found.setdefault(row["class_id"], []).append(number)
    return list(found.values())


def _hashed(group: Sequence[int], train: Sequence[Mapping]) -> str:
    """What decides a group's turn: neither seed, order nor number of its class do."""
    first = min(train[number]["name"] for number in group)
    return hashlib.sha256(first.encode()).hexdigest()


def numbers(
    train: Sequence[Mapping], test: Sequence[Mapping], share: float
) -> np.ndarray:
    """Numbers of the training pictures that are held out.

    Groups (classes or pictures) have their turn in the order of the SHA-256 of their
    first name; each is taken that still fits into the share, at least two pictures.

    Args:
      train: rows of the training pictures, with `name` and `class_id`.
      test: rows of the test pictures.
      share: of the training pictures, 0 to 1; 0: none.

    Returns:
      [M] int64, ascending.

    Raises:
      ValueError: there are not two groups that fit, or no two would be left.
    """
    if not share:
        return np.zeros(0, np.int64)
    groups = _groups(train, test)
    quota, held, taken = max(round(share * len(train)), 2), [], 0
    for group in sorted(groups, key=lambda group: _hashed(group, train)):
        if len(held) + len(group) <= quota:
            held, taken = held + group, taken + 1
    if taken < 2 or len(groups) - taken < 2:
        what = "pictures" if len(groups) == len(train) else "classes"
        raise ValueError(
            f"config.data.validation = {share}: {taken} of {len(groups)} {what} fit"
            f" into that share of {len(train):,} training pictures, and at least two"
            " must be held out and two be left; give another share, or 0, and the test"
            " pictures choose"
        )
    return np.sort(np.array(held, np.int64))
