"""STREAM's gate: which image each caption is compared with."""

import jax
import numpy as np
from flax import linen as nn

from mirrorgan_jax.training import stream_step

SURE, VOCAB = 3.0, 5


class Reader(nn.Module):
    """A captioner that says the word whose id is the image's colour."""

    @nn.compact
    def __call__(self, images, tokens, *, train):
        words = jax.nn.one_hot(images[:, 0, 0, 0].astype(int), VOCAB) * SURE
        return words[:, None].repeat(tokens.shape[1], 1)


def test_gate_compares_every_caption_with_its_image_and_the_next_one():
    images = np.tile(np.array([1.0, 2.0, 3.0])[:, None, None, None], (1, 2, 2, 3))
    # Captions 0 and 2 fit their own image, none fits the next one, 1 the one before.
    tokens, length = np.array([[1, 1], [1, 0], [3, 0]]), np.array([2, 1, 1])
    gate = stream_step.make_gate(Reader())
    matched, shuffled = gate({}, images, tokens, length)
    wrong = np.log(np.exp(SURE) + VOCAB - 1)
    np.testing.assert_allclose(matched, wrong - SURE * 3 / 4, rtol=1e-5)
    np.testing.assert_allclose(shuffled, wrong, rtol=1e-5)
