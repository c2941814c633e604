"""Captions of toybirds are read back as what they say."""

import numpy as np
import pytest

from mirrorgan_jax import text
from mirrorgan_jax.data.toybirds import birds, mentions


def test_every_caption_says_only_what_is_true():
    counts = {name: 0 for name in birds.ATTRIBUTES}
    total = 0
    for index in range(60):
        rng = np.random.default_rng(index)
        attributes = [rng.integers(len(v)) for v in birds.ATTRIBUTES.values()]
        values = birds.attribute_values(attributes)
        for caption in birds.captions(values, rng):
            found = mentions.find(caption)
            assert found
            tokens = text.tokenize(caption)
            for mention in found:
                assert values[mention.attribute] == mention.value, caption
                assert mentions.VALUES[tokens[mention.position]] == mention.value
                counts[mention.attribute] += 1
            # Every word with a value is understood.
            assert len(found) == sum(token in mentions.VALUES for token in tokens)
            total += 1
    # How often a caption speaks of each part is known from how it is written.
    assert counts["body"] / total > 0.85
    for part in ("wing", "belly", "crown"):
        assert 0.6 < counts[part] / total < 0.95


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a tiny crimson bird", {"size": "small", "body": "red"}),
        ("this is a big bird that is azure with grey wings",
         {"size": "large", "body": "blue", "wing": "gray"}),
        ("the wings are red, and its beak is pointed",
         {"wing": "red", "bill_length": "long"}),
        ("a short yellow bill", {"bill_length": "short", "bill_color": "yellow"}),
        ("its is red wings wings", {"wing": "red"}),
        ("red with a and", {}),
        ("a red wing and a blue wing", {"wing": "red"}),
        ("a long wing", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_statements_are_found(caption, expected):
    found = mentions.find(caption)
    assert {m.attribute: m.value for m in found} == expected
