"""Attribute words against choices made by hand."""

import numpy as np
import pytest

from mirrorgan_jax.metrics import attribute_words


def test_synonyms_count_together():
    probabilities = np.array([[0.4, 0.35, 0.25], [0.7, 0.2, 0.1]])
    choices = attribute_words.word_choices(np.log(probabilities), [[0], [1, 2]])
    assert choices.tolist() == [1, 0]
    with pytest.raises(ValueError, match="groups have"):
        attribute_words.word_choices(np.log(probabilities), [[0], []])
