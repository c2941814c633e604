"""What the trained networks do, as pure functions of variables and batches.

The same functions serve a person's captions on one device and an evaluation on a mesh;
`Batches` runs them over any number of rows.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np

from mirrorgan_jax.losses import captioning
from mirrorgan_jax.models import glam
from mirrorgan_jax.models import stem as stem_models
from mirrorgan_jax.parallel import mesh as meshes


class Features(NamedTuple):
    """What GLAM is given of captions.

    Attributes:
      sentence: [n, D] sentence vectors.
      words: [n, T, D] word features, zero at padding.
      mask: [n, T] bool, True on real words.
    """

    sentence: jax.Array
    words: jax.Array
    mask: jax.Array


def encode(text_encoder, variables, tokens, length):
    """`Features` of token ids [B, T] and lengths [B] (Eq. 1)."""
    found = stem_models.encode_captions(text_encoder, variables, tokens, length)
    return Features(found.sentence, found.words, found.mask)


def noise(z_dim, condition_dim, key, numbers):
    """(z [B, Z], eps [B, D']) of numbers [B], whatever batch a number comes in."""
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
    z, eps = jax.vmap(lambda k: glam.noise(k, 1, z_dim, condition_dim))(keys)
    return z[:, 0], eps[:, 0]


def generate(generator, variables, features, z, eps):
    """`models.glam.GeneratorOutput` of `Features` and noise (Eq. 3)."""
    return generator.apply(
        variables, z, eps, features.sentence, features.words, features.mask,
        train=False,
    )  # fmt: skip


def image_code(image_encoder, variables, images):
    """[B, D] DAMSM codes of images [B, S, S, 3] in [-1, 1]."""
    return image_encoder.apply(variables, images, train=False)[1]


def redescribe(captioner, num_words, variables, images):
    """[B, num_words] token ids of STREAM's most likely words for images."""
    return captioner.apply(variables, images, num_words, method="redescribe")


def score(captioner, variables, images, tokens, length):
    """[B] mean cross entropy a word of captions under their images, nats (Eq. 8)."""
    logits = captioner.apply(variables, images, tokens, train=False)
    loss = jax.vmap(
        lambda row, ids, count: captioning.caption_loss(
            row[None], ids[None], count[None], reduction="mean"
        )
    )
    return loss(logits, tokens, length)


class Batches:
    """Runs functions over rows, batches of one size at a time, on a mesh.

    The last batch is filled up with rows of its own, so that each function is compiled
    once and no row depends on its neighbours.

    Args:
      mesh: device mesh.
      size: rows of a batch; rounded up to fill the mesh's data axis.
      halved: fill the last batch up to a half, a quarter and so on of the size where
        that holds it; a function is compiled once for each that comes up.
    """

    def __init__(self, mesh, size, *, halved=False):
        self._mesh, self._halved = mesh, halved
        self._data = mesh.shape["data"]
        self.size = -(-size // self._data) * self._data
        # Whole on every device: every process can read the results.
        self._whole = meshes.replicated(mesh)

    def compiled(self, function, *bound, split=False):
        """`function` with its first arguments bound, jitted.

        Its result is whole on every device; with `split` its rows stay on the devices
        that go on with them.
        """
        placed = meshes.batch_sharding(self._mesh) if split else self._whole
        jitted = jax.jit(functools.partial(function, *bound), out_shardings=placed)

        def call(*args):
            with jax.set_mesh(self._mesh):
                return jitted(*args)

        return call

    def place(self, rows):
        """A tree of [n, ...] arrays, the same on every process, as global arrays."""
        count = len(jax.tree.leaves(rows)[0])
        local = meshes.local_rows(self._mesh, count)
        mine = jax.tree.map(lambda x: np.asarray(x)[local], rows)
        return meshes.global_batch(self._mesh, local, mine, count)

    def _filled(self, count):
        """Rows of the batch that holds `count` rows."""
        size = self.size
        while self._halved and size % (2 * self._data) == 0 and size // 2 >= count:
            size //= 2
        return size

    def of(self, *trees):
        """Yields (number of own rows, trees as a global batch) in order."""
        count = len(jax.tree.leaves(trees)[0])
        for start in range(0, count, self.size):
            rows = np.arange(start, min(start + self.size, count))
            padded = np.resize(rows, self._filled(len(rows)))
            batch = jax.tree.map(lambda x: np.asarray(x)[padded], trees)  # noqa: B023
            yield len(rows), self.place(batch)

    def map(self, function, variables, *trees):
        """`function(variables, *batch)`, of `compiled`, over all rows, as NumPy."""
        return joined(
            (count, function(variables, *batch)) for count, batch in self.of(*trees)
        )


def joined(results):
    """One NumPy tree of [n, ...] of (number of own rows, tree of [size, ...])."""
    parts = [
        jax.tree.map(lambda x: x[:count], jax.device_get(found))  # noqa: B023
        for count, found in results
    ]
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)
