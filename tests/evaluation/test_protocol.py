"""The fixed examples of an evaluation."""

from types import SimpleNamespace

import numpy as np
import pytest

from mirrorgan_jax.evaluation import protocol

CLASSES = np.repeat(np.arange(4), 10)


def split(classes=CLASSES, captions=3):
    """A test split whose captions tell their image and number."""
    texts = [[[1 + i, 1 + k, 7] for k in range(captions)] for i in range(len(classes))]

    class Split(SimpleNamespace):
        def __len__(self):
            return len(classes)

    return Split(name="test", class_ids=np.asarray(classes), captions=texts)


def make(data, **options):
    settings = {"count": 0, "num_words": 2, "pool_size": 5, "seed": 3} | options
    return protocol.make(data, **settings)


def test_repeats_take_other_captions_of_the_same_images():
    once, thrice = make(split()), make(split(), repeats=3)
    assert thrice.num_images == once.num_images == 40
    assert len(thrice) == 120
    np.testing.assert_array_equal(thrice.indices[:40], once.indices)
    np.testing.assert_array_equal(thrice.captions[:40], once.captions)
    pairs = set(zip(thrice.indices.tolist(), thrice.captions.tolist(), strict=True))
    assert len(pairs) == 120
    # Token 0 tells the image, token 1 the caption; the third word is cut.
    np.testing.assert_array_equal(thrice.tokens[:, 0], 1 + thrice.indices)
    np.testing.assert_array_equal(thrice.tokens[:, 1], 1 + thrice.captions)
    assert thrice.tokens.shape == (120, 2) and (thrice.length == 2).all()


@pytest.mark.parametrize("repeats", [1, 3])
def test_pools_hold_no_other_caption_of_the_image_or_class(repeats):
    p = make(split(), repeats=repeats)
    images, classes = p.indices, CLASSES[p.indices]
    np.testing.assert_array_equal(p.pools[:, 0], np.arange(len(p)))
    assert (images[p.pools[:, 1:]] != images[:, None]).all()
    assert (classes[p.class_pools[:, 1:]] != classes[:, None]).all()
    assert p.pools.shape[1] == p.class_pools.shape[1] == 5


def test_small_splits_have_small_pools():
    p = make(split(np.array([0, 0, 1])))
    assert p.pools.shape == (3, 3)
    assert p.class_pools.shape == (3, 2)
    assert make(split(np.zeros(3, int))).class_pools is None
    with pytest.raises(ValueError, match="needs 2 or more"):
        make(split(np.array([0])))


def test_mismatched_rows_are_of_other_classes():
    for classes in (CLASSES, np.tile(np.arange(4), 10), np.array([0, 0, 1, 1, 1, 2])):
        rows = protocol.mismatched_rows(classes)
        assert sorted(rows) == list(range(len(classes)))
        assert not (classes[rows] == classes).any()


def test_sample_rows_are_spread_and_distinct():
    assert protocol.sample_rows(100, 4).tolist() == [0, 33, 66, 99]
    assert protocol.sample_rows(3, 16).tolist() == [0, 1, 2]
