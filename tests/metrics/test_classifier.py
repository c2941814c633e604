"""The attribute classifier on rectangles whose colours are known."""

import jax
import numpy as np
import pytest

from mirrorgan_jax.metrics import classifier as classifiers

_COLORS = np.array([[220, 30, 40], [40, 90, 220], [240, 240, 235]])
_HEADS = {"large": 3, "small": 3}


def _rectangles(count, seed):
    """A large rectangle with a small one above it, each of one of three colours."""
    rng = np.random.default_rng(seed)
    images = np.full((count, 32, 32, 3), 128, np.uint8)
    values = rng.integers(0, 3, (count, 2))
    for image, (large, small) in zip(images, values, strict=True):
        y, x = rng.integers(8, 16), rng.integers(2, 14)
        image[y : y + 12, x : x + 14] = _COLORS[large]
        image[y - 6 : y, x + 2 : x + 8] = _COLORS[small]
    return images, values


@pytest.fixture(scope="module")
def trained():
    images, values = _rectangles(400, seed=0)
    losses = []
    classifier = classifiers.train_classifier(
        images,
        values,
        _HEADS,
        steps=150,
        batch_size=16,
        seed=0,
        progress=lambda step, loss: losses.append((step, loss)),
    )
    return classifier, losses


def test_classifier_reads_unseen_images(trained):
    classifier, losses = trained
    images, values = _rectangles(300, seed=1)
    result = classifiers.accuracy(classifier, images, values)
    assert list(result) == ["large", "small"]
    assert min(result.values()) > 0.9
    assert [step for step, _ in losses] == list(range(1, 151))


def test_accuracy_of_wrong_attributes_is_low(trained):
    images, values = _rectangles(100, seed=1)
    wrong = classifiers.accuracy(trained[0], images, (values + 1) % 3)
    assert max(wrong.values()) < 0.1


def test_floats_and_integers_are_read_alike(trained):
    images, _ = _rectangles(20, seed=2)
    floats = images.astype(np.float32) / 127.5 - 1
    np.testing.assert_array_equal(
        classifiers.predict(trained[0], images), classifiers.predict(trained[0], floats)
    )


def test_augmentation_changes_images_a_little():
    images, _ = _rectangles(8, seed=3)
    images = images.astype(np.float32) / 255
    changed = np.asarray(classifiers._augment(jax.random.key(0), images))
    assert changed.shape == images.shape
    assert changed.min() >= 0 and changed.max() <= 1
    assert 0.005 < np.abs(changed.mean((1, 2)) - images.mean((1, 2))).mean() < 0.1


def test_values_out_of_range_are_refused(trained):
    images, values = _rectangles(4, seed=0)
    values[1, 1] = 3
    with pytest.raises(ValueError, match="'small'.*0 to 2"):
        classifiers.accuracy(trained[0], images, values)


def test_images_that_are_not_finite_are_refused(trained):
    with pytest.raises(ValueError, match="not finite"):
        classifiers.predict(trained[0], np.full((1, 32, 32, 3), np.nan))
