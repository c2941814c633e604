"""R-precision: is an image's own caption the nearest in its pool? (paper 4.1.2)

Each image is compared with its own caption and with mismatched captions of the
test set by the cosine of their DAMSM codes; top-k counts the images whose own
caption is among the k nearest.
"""

import numpy as np

from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import OTHERS, Observed

TITLE = "R-precision"
CHUNK_ELEMENTS = 1 << 24  # float64 pool codes held at once, 128 MiB


def caption_pools(groups, *, pool_size=100, seed):
    """Draws for each caption the pool that its image is compared with.

    Args:
      groups: number of captions when each belongs to an image of its own, or
        [N] what each caption describes: its image, so that the other captions
        of the image are no distractors, or its class, so that those of the whole
        class are none.
      pool_size: captions in a pool, the own one included.
      seed: of the draw; the same pools for the same arguments.

    Returns:
      [N, pool_size] int32 caption numbers: the own one first, then distinct
      captions of other groups.

    Raises:
      ValueError: a caption has fewer than `pool_size - 1` captions of others.
    """
    groups = np.arange(groups) if np.ndim(groups) == 0 else np.asarray(groups)
    if groups.ndim != 1 or not groups.size:
        raise ValueError(f"groups has shape {groups.shape}: allowed is [N], N >= 1")
    if pool_size < 2:
        raise ValueError(f"pool_size = {pool_size}: allowed are 2 and more")
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    largest = counts.max()
    if groups.size - largest < pool_size - 1:
        raise ValueError(
            f"pool_size = {pool_size}: {groups.size} captions, {largest} of them of"
            f" one group, leave {groups.size - largest} mismatched ones; allowed are"
            f" pools of at most {groups.size - largest + 1}"
        )
    # Sorted by group, what a caption may not meet is one block: a draw among the
    # others is a draw from a shorter range that jumps over the block.
    order = np.argsort(group, kind="stable")
    first = np.cumsum(counts) - counts
    rng = np.random.default_rng(seed)
    pools = np.empty((groups.size, pool_size), np.int32)
    for row, own in enumerate(group):
        others = groups.size - counts[own]
        drawn = rng.choice(others, pool_size - 1, replace=False, shuffle=False)
        drawn += np.where(drawn >= first[own], counts[own], 0)
        pools[row, 0] = row
        pools[row, 1:] = order[drawn]
    return pools


def _unit(codes, name):
    """Codes scaled to length one in float64, refused when not finite."""
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2:
        raise ValueError(f"{name} has shape {codes.shape}: allowed is [N, D]")
    broken = ~np.isfinite(codes).all(1)
    if broken.any():
        # Comparisons with NaN are false, so such a code would always win.
        raise ValueError(
            f"{name}: {broken.sum()} of {len(codes)} codes are not finite, the first"
            f" is number {broken.argmax()}; allowed are finite ones"
        )
    norms = np.linalg.norm(codes, axis=1, keepdims=True)
    return codes / np.where(norms > 0, norms, 1)


def own_ranks(image_codes, sentence_codes, pools):
    """How many captions of its pool are at least as near as an image's own one.

    Args:
      image_codes: [N, D] DAMSM codes of the images.
      sentence_codes: [M, D] DAMSM codes of the captions.
      pools: [N, P] caption numbers, the own one first.

    Returns:
      [N] int, 0 where the own caption is strictly the nearest.

    Raises:
      ValueError: codes that are not finite, shapes or numbers that do not fit.
    """
    images = _unit(image_codes, "image_codes")
    sentences = _unit(sentence_codes, "sentence_codes")
    pools = np.asarray(pools)
    if pools.ndim != 2 or len(pools) != len(images) or pools.shape[1] < 2:
        raise ValueError(
            f"pools has shape {pools.shape}: allowed is [{len(images)}, P], P >= 2"
        )
    if images.shape[1] != sentences.shape[1]:
        raise ValueError(
            f"image_codes have {images.shape[1]} numbers, sentence_codes"
            f" {sentences.shape[1]}: allowed is the same count"
        )
    if pools.size and (pools.min() < 0 or pools.max() >= len(sentences)):
        raise ValueError(
            f"pools hold captions {pools.min()} to {pools.max()}: allowed are 0 to"
            f" {len(sentences) - 1}"
        )
    rows = max(1, CHUNK_ELEMENTS // (pools.shape[1] * images.shape[1]))
    ranks = np.empty(len(images), np.int64)
    for start in range(0, len(images), rows):
        part = slice(start, start + rows)
        # The product summed by one rule for every caption: equal codes tie.
        similarity = np.einsum("npd,nd->np", sentences[pools[part]], images[part])
        ranks[part] = (similarity[:, 1:] >= similarity[:, :1]).sum(1)
    return ranks


def r_precision(image_codes, sentence_codes, pools, *, ks=(1, 2, 3), folds=10, seed=0):
    """R-precision: share of images whose own caption is among the k nearest.

    A tie counts against the image: its own caption has to be strictly nearer.

    Args:
      image_codes: [N, D] DAMSM codes of the images.
      sentence_codes: [M, D] DAMSM codes of the captions.
      pools: [N, P] caption numbers, the own one first (`caption_pools`).
      ks: the k to report.
      folds: parts that the images, shuffled, are cut into ([35] has ten).
      seed: of the order.

    Returns:
      dict: `top<k>` as fractions for each k, `standard_error` that of the first
      one (binomial), `num_images` and `pool_size`; where there are `folds` images or
      more, `fold_mean` and `fold_deviation` of the first one over the folds.

    Raises:
      ValueError: no images, codes that are not finite, arrays that do not fit.
    """
    ranks = own_ranks(image_codes, sentence_codes, pools)
    if not ranks.size:
        raise ValueError("image_codes holds 0 images: allowed are 1 and more")
    result = {f"top{k}": float((ranks < k).mean()) for k in ks}
    share = result[f"top{ks[0]}"]
    result["standard_error"] = float(np.sqrt(share * (1 - share) / ranks.size))
    if ranks.size >= folds:
        order = np.random.default_rng(seed).permutation(ranks.size)
        shares = [(ranks[part] < ks[0]).mean() for part in np.array_split(order, folds)]
        result["fold_mean"] = float(np.mean(shares))
        result["fold_deviation"] = float(np.std(shares))
    result["num_images"] = int(ranks.size)
    result["pool_size"] = int(np.shape(pools)[1])
    return result


def measure(observed: Observed) -> results.Result:
    """R-precision among captions of other images."""
    return among(observed, TITLE, observed.pools, "captions of other test images")


def among(observed, title, pools, distractors) -> results.Result:
    """R-precision of generated and real images, and of images of other captions.

    Args:
      observed: the `Observed`.
      title: of the result.
      pools: [n, P] caption numbers, the own one first.
      distractors: what the others are.
    """
    generated, folds = observed.codes["generated"], observed.settings["folds"]
    sources = {**observed.codes, OTHERS: generated[observed.mismatched]}
    rows, spread = {}, False
    for images, codes in sources.items():
        found = r_precision(
            codes, observed.sentences, pools[: len(codes)],
            folds=folds, seed=observed.seed,
        )  # fmt: skip
        values = {name: 100 * found[name] for name in ("top1", "top2", "top3")}
        # Fewer images than folds have none.
        deviation = found.get("fold_deviation")
        spread |= deviation is not None
        rows[results.Source(images)] = results.Row(
            values, None if deviation is None else 100 * deviation
        )
    return results.Result(
        title=title,
        unit="%",
        better="higher",
        protocol={
            **observed.counts(),
            "pool": pools.shape[1],
            "distractors": distractors,
            "similarity": "cosine",
            **observed.judge,
            "seed": observed.seed,
        },
        columns=("top1", "top2", "top3"),
        rows=rows,
        spread=f"{folds} folds" if spread else "",
    )
