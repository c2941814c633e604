"""What an evaluation asks of a captioner."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mirrorgan_jax.evaluation import probes


class Captioner(nn.Module):
    """Says 1, 2, 3, ... of every image."""

    end_token: bool

    def __call__(self, images, tokens, *, train):
        return jnp.zeros((*tokens.shape, 3))

    def redescribe(self, images, num_words):
        return jnp.tile(jnp.arange(1, num_words + 1)[None], (len(images), 1))


@pytest.mark.parametrize(
    ("end_token", "wanted"),
    [(False, [[1, 2, 0, 0], [1, 2, 3, 4]]), (True, [[1, 2, 3, 4]] * 2)],
)
def test_redescription_ends_with_the_caption_where_nothing_else_ends_it(
    end_token, wanted
):
    probe = probes.captioner(Captioner(end_token), {}, 4)
    batch = {"tokens": jnp.ones((2, 4), int), "length": jnp.array([2, 4])}
    found = probe.function({}, jnp.zeros((2, 8, 8, 3)), batch)
    np.testing.assert_array_equal(found["ids"], wanted)
    np.testing.assert_allclose(found["log_probs"], np.log(1 / 3), rtol=1e-6)
