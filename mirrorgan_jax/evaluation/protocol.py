"""The fixed examples of an evaluation: images, captions, pools of captions."""

import dataclasses

import numpy as np

from mirrorgan_jax.metrics import r_precision


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The fixed examples of an evaluation.

    Attributes:
      indices: [n] images of the split; with repeats an image stands several
        times, each time with another of its captions.
      captions: [n] which of an image's captions is its own.
      tokens: [n, T] int32.
      length: [n] int32.
      pools: [n, P] caption numbers, the own one first, then those of other images.
      class_pools: the same with captions of other classes; None where there are none.
      num_images: how many different images; the first rows have one each.
    """

    indices: np.ndarray
    captions: np.ndarray
    tokens: np.ndarray
    length: np.ndarray
    pools: np.ndarray
    class_pools: np.ndarray | None
    num_images: int

    def __len__(self):
        return len(self.indices)


def _pools(groups, pool_size, seed):
    """Pools of captions of other groups, smaller where there are too few; or None."""
    largest = np.unique(groups, return_counts=True)[1].max()
    size = min(pool_size, len(groups) - largest + 1)
    if size < 2:
        return None
    return r_precision.caption_pools(groups, pool_size=size, seed=seed)


def make(split, *, count, num_words, pool_size, seed, repeats=1):
    """Chooses images, captions and pools; a pure function of its arguments.

    Args:
      split: the test split, or that which chooses.
      count: images; 0 takes all.
      num_words: words kept of a caption.
      pool_size: captions a pool; a smaller split takes what it has.
      seed: of the choice.
      repeats: captions taken of each image, different ones as far as there are.
    """
    rng = np.random.default_rng([seed, len(split)])
    count = min(count or len(split), len(split))
    indices = np.sort(rng.permutation(len(split))[:count])
    numbers = np.array([len(split.captions[i]) for i in indices])
    first = np.array([rng.integers(number) for number in numbers])
    captions = np.concatenate([(first + r) % numbers for r in range(repeats)])
    indices = np.tile(indices, repeats)
    tokens = np.zeros((len(indices), num_words), np.int32)
    length = np.zeros(len(indices), np.int32)
    for row, (index, caption) in enumerate(zip(indices, captions, strict=True)):
        ids = split.captions[index][caption][:num_words]
        tokens[row, : len(ids)], length[row] = ids, len(ids)
    pools = _pools(indices, pool_size, seed)
    if pools is None:
        raise ValueError(
            f"the {split.name} split has {count} images: R-precision needs 2 or more"
        )
    class_pools = _pools(split.class_ids[indices], pool_size, seed)
    return Protocol(indices, captions, tokens, length, pools, class_pools, count)


def mismatched_rows(class_ids):
    """For each row another row of another class: images of other captions.

    Args:
      class_ids: [n] classes of the rows.

    Returns:
      [n] permutation; rows share a class only where one class holds most of them.
    """
    order = np.argsort(class_ids, kind="stable")
    # Sorted by class, a step of the largest class leaves every class.
    step = np.unique(class_ids, return_counts=True)[1].max()
    rows = np.empty_like(order)
    rows[order] = np.roll(order, -step)
    return rows


def sample_rows(count, samples):
    """Rows of a sample grid: spread over the split."""
    return np.unique(np.linspace(0, count - 1, min(samples, count)).astype(int))
