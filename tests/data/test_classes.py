"""Training pictures need others of another class to be mismatched with."""

import numpy as np
import pytest

from mirrorgan_jax.data import classes


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([3] * 9, "9 of 9 training pictures are of class 3"),
        ([3] * 8 + [4], "8 of 9 training pictures are of class 3"),
        ([5], "1 training picture"),
        ([3, 4] * 5, None),
        (range(9), None),
    ],
)
def test_classes_without_negatives_are_refused(ids, said):
    problem = classes.problem(np.array(ids))
    assert (problem is None) == (said is None)
    assert said is None or said in problem
