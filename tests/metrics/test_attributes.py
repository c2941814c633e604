"""Attribute accuracy counts what was asked for, and where asked colours went."""

import numpy as np
import pytest
from support import evaluations

from mirrorgan_jax.data import toybirds
from mirrorgan_jax.data.toybirds import birds
from mirrorgan_jax.metrics import attribute_places, attributes
from mirrorgan_jax.metrics.result import Source
from mirrorgan_jax.text import Vocabulary

GENERATED, REAL = Source("generated"), Source("real")
PARTS = evaluations.PARTS


def heads(values):
    """Certain heads of {part: [n] numbers of values}."""
    return {part: np.log(np.eye(9)[ids] + 1e-6) for part, ids in values.items()}


def observed(captions, drawn, shown, real=None):
    """An `Observed` of captions, what was drawn for them and what images show.

    Values are names, {part: one for each caption}.
    """
    vocab = Vocabulary.from_captions(captions)
    ids = [vocab.encode(caption) for caption in captions]
    tokens = np.zeros((len(ids), max(map(len, ids))), np.int32)
    for row, words in zip(tokens, ids, strict=True):
        row[: len(words)] = words

    def numbers(values):
        return {part: np.array([*map(evaluations.COLORS.index, values[part])])
                for part in values}  # fmt: skip

    return evaluations.observed(
        images=len(captions), tokens=tokens, vocab=vocab, drawn=numbers(drawn),
        attributes={
            "generated": heads(numbers(shown)), "real": heads(numbers(real or drawn)),
        },
    )  # fmt: skip


CAPTIONS = ["a red bird with blue wings", "a bird with a green belly and red wings"]
DRAWN = {
    "body": ["red", "white"], "wing": ["blue", "red"],
    "belly": ["black", "green"], "crown": ["gray", "gray"],
}  # fmt: skip


def test_only_what_was_asked_for_counts():
    shown = {
        "body": ["red", "white"], "wing": ["green", "red"],
        "belly": ["white", "green"], "crown": ["gray", "blue"],
    }  # fmt: skip
    found = attributes.measure(observed(CAPTIONS, DRAWN, shown))
    assert found.columns == PARTS
    # The body is asked of the first alone, wings of both, the crown of none.
    np.testing.assert_equal(
        found.rows[GENERATED].values,
        {"body": 100, "wing": 50, "belly": 100, "crown": np.nan},
    )
    # Where nothing was asked: the second's body, the first's belly, both crowns.
    np.testing.assert_equal(
        found.rows[Source(attributes.UNASKED)].values,
        {"body": 100, "wing": np.nan, "belly": 0, "crown": 50},
    )
    real = found.rows[REAL].values
    assert (real["body"], real["wing"], real["belly"]) == (100, 100, 100)
    assert set(found.rows[Source("chance")].values.values()) == {100 / 9}
    assert found.protocol["asked"] == "body 1, wing 2, belly 1, crown 0 of 2 captions"


def test_what_real_images_show_is_judged_by_the_same_rule():
    real = {**DRAWN, "wing": ["blue", "blue"], "crown": ["red", "red"]}
    found = attributes.measure(observed(CAPTIONS, DRAWN, DRAWN, real))
    assert found.rows[REAL].values["wing"] == 50
    assert np.isnan(found.rows[REAL].values["crown"])
    assert found.rows[GENERATED].values["wing"] == 100


def perfect_on_asked(seed=0):
    """Toybirds whose images show all that is asked, and else any colour."""
    rng = np.random.default_rng(seed)
    some = [
        birds.example("test", i, seed=seed, images_per_species=12, size=16)
        for i in range(600)
    ]
    captions = [bird.captions[rng.integers(10)] for bird in some]
    drawn, shown = ({part: [] for part in PARTS} for _ in range(2))
    for bird, caption in zip(some, captions, strict=True):
        asked = {m.attribute: m.value for m in toybirds.TRUTH.find(caption)}
        own = birds.attribute_values(bird.attributes)
        for part in PARTS:
            drawn[part].append(own[part])
            shown[part].append(asked.get(part, rng.choice(evaluations.COLORS)))
    return observed(captions, drawn, shown)


def test_perfect_generator_is_told_by_what_is_asked():
    seen = perfect_on_asked()
    found = attributes.measure(seen)
    assert set(found.rows[GENERATED].values.values()) == {100}
    assert set(found.rows[REAL].values.values()) == {100}
    chance = found.rows[Source(attributes.UNASKED)].values
    # Of 40 to 110 images each, one in nine is right.
    assert all(0 <= value < 25 for value in chance.values())
    # Counted whether asked or not it could not reach more than this.
    counts = attributes.asked(seen)
    most = {p: 100 * ((a >= 0) + (a < 0) / 9).mean() for p, a in counts.items()}
    expected = {"body": 93, "wing": 84, "belly": 83, "crown": 86}
    # A standard error of 600 captions is 1.6.
    assert most == pytest.approx(expected, abs=3)


def test_places_are_right_another_or_none():
    wanted = {
        "body": np.array(["red", "red", "red", "red", "red"]),
        "wing": np.array(["blue", "blue", "", "red", ""]),
    }
    shown = {
        "body": np.array(["red", "blue", "white", "white", "white"]),
        "wing": np.array(["blue", "red", "red", "red", "blue"]),
    }
    found = attribute_places.places(shown, wanted)
    # The fourth's wings are red because they were asked to be: its body's red is gone.
    assert found["body"].tolist() == [0, 1, 1, 2, 2]
    assert found["wing"].tolist() == [0, 1, 0]
    alone = attribute_places.places({"body": shown["body"]}, {"body": wanted["body"]})
    assert alone["body"].tolist() == [0, 2, 2, 2, 2]


def test_places_of_all_images_and_of_each_part():
    shown = {
        "body": ["blue", "white"], "wing": ["red", "red"],
        "belly": ["white", "white"], "crown": ["gray", "green"],
    }  # fmt: skip
    found = attribute_places.measure(observed(CAPTIONS, DRAWN, shown))
    columns = attribute_places.COLUMNS

    def row(source):
        return [found.rows[Source(source)].values[column] for column in columns]

    # Red and blue of the first changed places; the second's wings are right and the
    # green of its belly is on its crown.
    assert row("generated") == [25, 75, 0]
    assert row("generated, body") == [0, 100, 0]
    assert row("generated, wing") == [50, 50, 0]
    assert np.isnan(row("generated, crown")).all()
    assert row("real") == [100, 0, 0]
    # Each caption beside the other one's image: red of the first is on the wings, its
    # blue nowhere; the second's red is on the wings, its green nowhere.
    assert row("generated from other captions") == [25, 25, 50]


@pytest.mark.parametrize("metric", [attributes, attribute_places])
def test_captions_that_ask_for_nothing_are_refused(metric):
    seen = observed(["a bird", "this bird"], DRAWN, DRAWN)
    with pytest.raises(ValueError, match="no caption speaks of body, wing"):
        metric.measure(seen)
