"""Inception Score against cases with known values."""

import numpy as np
import pytest

from mirrorgan_jax.metrics import inception_score


def log_softmax(logits):
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def score(log_probs, **options):
    return inception_score.inception_score(log_probs, **{"splits": 1} | options)


def test_certain_and_balanced_images_score_the_number_of_classes():
    with np.errstate(divide="ignore"):
        certain = np.log(np.tile(np.eye(5), (4, 1)))
    assert score(certain)["mean"] == pytest.approx(5)


def test_images_that_say_nothing_score_one():
    same = np.tile(log_softmax(np.array([[1.0, 2.0, 0.5]])), (9, 1))
    assert score(same)["mean"] == pytest.approx(1)


def test_value_is_that_of_the_definition_on_every_split():
    logits = np.random.default_rng(0).normal(0, 2, (60, 4))
    found = score(log_softmax(logits), splits=3, seed=5)
    order = np.random.default_rng(5).permutation(60)
    values = []
    for part in np.split(order, 3):
        p = np.exp(log_softmax(logits[part]))
        q = p.mean(0)
        divergences = [
            sum(a * np.log(a / b) for a, b in zip(x, q, strict=True)) for x in p
        ]
        values.append(np.exp(np.mean(divergences)))
    assert found["mean"] == pytest.approx(np.mean(values), rel=1e-12)
    assert found["deviation"] == pytest.approx(np.std(values), rel=1e-12)
    assert found["splits"] == 3 and found["num_images"] == 60


def test_several_classifiers_score_the_mean_of_their_divergences():
    rng = np.random.default_rng(1)
    heads = tuple(log_softmax(rng.normal(0, 3, (40, c))) for c in (3, 5))
    single = [np.log(score(head)["mean"]) for head in heads]
    assert score(heads)["mean"] == pytest.approx(np.exp(np.mean(single)))


def test_background_is_dropped_and_the_rest_normalised():
    probs = np.array([[0.5, 0.4, 0.1], [0.2, 0.2, 0.6]])
    kept = np.exp(inception_score.drop_background(np.log(probs)))
    np.testing.assert_allclose(kept, [[0.8, 0.2], [0.25, 0.75]], rtol=1e-12)


@pytest.mark.parametrize(
    ("log_probs", "options", "message"),
    [
        (log_softmax(np.zeros((49, 5))), {"splits": 10}, "At least 50 images"),
        (np.zeros((9, 3)), {}, "row 0 sums to 3.0000"),
        (np.full((9, 3), np.nan), {}, "no log-probabilities"),
        (np.ones((9, 3)), {}, "no log-probabilities"),
        (np.zeros(9), {}, "has shape"),
        ((log_softmax(np.zeros((9, 3))), log_softmax(np.zeros((8, 3)))), {}, "shape"),
    ],
)
def test_what_is_no_distribution_is_refused(log_probs, options, message):
    with pytest.raises(ValueError, match=message):
        score(log_probs, **options)
