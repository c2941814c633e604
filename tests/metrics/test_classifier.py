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


def read(classifier, images):
    """[n, A] values that the classifier reads from uint8 images."""
    net = classifiers.AttributeNet(classifier.heads)
    images = images.astype(np.float32) / 127.5 - 1
    heads = jax.jit(net.apply)({"params": classifier.params}, images)
    return np.stack([head.argmax(1) for head in heads], 1)


def test_classifier_reads_unseen_images(trained):
    classifier, losses = trained
    images, values = _rectangles(300, seed=1)
    assert [name for name, _ in classifier.heads] == ["large", "small"]
    assert (read(classifier, images) == values).mean(0).min() > 0.9
    assert [step for step, _ in losses] == list(range(1, 151))


def test_augmentation_changes_images_a_little():
    images, _ = _rectangles(8, seed=3)
    images = images.astype(np.float32) / 255
    changed = np.asarray(classifiers.augmented(jax.random.key(0), images))
    assert changed.shape == images.shape
    assert changed.min() >= 0 and changed.max() <= 1
    assert 0.005 < np.abs(changed.mean((1, 2)) - images.mean((1, 2))).mean() < 0.1


_IMAGES = np.zeros((4, 32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "values", "message"),
    [
        (_IMAGES, [[0, 1]] * 3 + [[0, 3]], "'small'.*0 to 2"),
        (_IMAGES, [[0, 1]] * 3, r"allowed is \(4, 2\)"),
        (_IMAGES.astype(float), [[0, 1]] * 4, "allowed is uint8"),
        (_IMAGES[:, 2:], [[0, 1]] * 4, "multiples of 4"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(images, values, message):
    with pytest.raises(ValueError, match=message):
        classifiers.train_classifier(
            images, values, _HEADS, steps=1, batch_size=2, seed=0
        )
