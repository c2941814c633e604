"""Choice of mismatched examples: shuffling must leave an example's own class."""

import jax.numpy as jnp
import numpy as np

from mirrorgan_jax.evaluation import quick

CLASSES = np.repeat(np.arange(4), 10)


class SortedByClass:
    """An evaluator whose images show nothing but their class."""

    protocol = CLASSES

    def real_batches(self, image_size, num_words, order=None):
        order = np.arange(40) if order is None else order
        for start in range(0, 40, 20):
            rows = order[start : start + 20]
            image = np.tile(CLASSES[rows, None, None, None], (1, 2, 2, 3))
            batch = {"image": jnp.asarray(image, jnp.uint8)}
            yield 20, {**batch, "tokens": rows, "length": rows}


def test_gate_shuffles_across_classes_of_a_sorted_data_set():
    def gate(variables, images, tokens, length):
        shifted = jnp.roll(images, -1, axis=0)
        return jnp.zeros(()), jnp.mean(images == shifted)

    result = quick.cross_entropies(SortedByClass(), gate, {}, image_size=2, num_words=1)
    # In the data set's own order 16 of 20 neighbours are of one class.
    assert result["shuffled"] < 0.5
    assert result["margin"] == result["shuffled"]
