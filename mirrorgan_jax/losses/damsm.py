"""Image-text matching losses that pretrain STEM (DAMSM of [35], Eq. 7-13)."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from mirrorgan_jax.parallel import constraints
from mirrorgan_jax.parallel import mesh as meshes

# Captions whose attention over all images is held at once: 48 captions against
# 48 images of 289 regions and 18 words take 48 MB an array in float32.
_CAPTIONS_AT_ONCE = 48
_EPSILON = 1e-12


def _unit(x):
    """x over its length; gradients stay finite where a vector is zero."""
    return x * jax.lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + _EPSILON)


def _region_weights(scores, word_mask, gamma1):
    """Attention of words to regions ([35], Eq. 8-9): [..., T, R] scores to weights."""
    lowest = jnp.finfo(scores.dtype).min
    scores = jnp.where(word_mask[..., None], scores, lowest)
    over_words = jax.nn.softmax(scores, axis=-2)
    over_words = jnp.where(word_mask[..., None], over_words, 0)
    return jax.nn.softmax(gamma1 * over_words, axis=-1)


def word_attention(words, regions, word_mask, gamma1):
    """Region context of every word ([35], Eq. 8-9).

    Args:
      words: [..., T, D] word features.
      regions: [..., R, D] image regions; leading axes broadcast against words'.
      word_mask: [..., T] bool, True on real words.
      gamma1: sharpness of the softmax over regions.

    Returns:
      context [..., T, D] and weights [..., T, R]; weights sum to 1 over R. Rows
      of padding are uniform.
    """
    dtype = jnp.promote_types(jnp.result_type(words, regions), jnp.float32)
    words, regions = words.astype(dtype), regions.astype(dtype)
    scores = jnp.einsum("...td,...rd->...tr", words, regions)
    weights = _region_weights(scores, word_mask, gamma1)
    return jnp.einsum("...tr,...rd->...td", weights, regions), weights


def word_similarity(regions, words, word_mask, *, gamma1, gamma2):
    """log-sum-exp over words of the match with their region context (Eq. 10).

    The cosine of a word and its context sum_r a_r v_r needs no context: its product
    is sum_r a_r (w . v_r), whose brackets are the attention's own scores, and its
    norm is a quadratic form of the image's [R, R] products of regions.

    Args:
      regions: [B, R, D] regions of B images.
      words: [K, T, D] words of K captions.
      word_mask: [K, T] bool, True on real words.
      gamma1: sharpness of the softmax over regions.
      gamma2: weight of the best words.

    Returns:
      [B, K] scores of every image with every caption.
    """
    dtype = jnp.promote_types(jnp.result_type(words, regions), jnp.float32)
    words, regions = words.astype(dtype), regions.astype(dtype)
    products = jnp.einsum("brd,bsd->brs", regions, regions)

    # Recomputed in the backward pass: otherwise B * K * R * T values are kept.
    @jax.checkpoint
    def one_caption(caption):
        word, mask = caption
        scores = jnp.einsum("td,brd->btr", word, regions)
        weights = _region_weights(scores, mask, gamma1)
        product = jnp.sum(weights * scores, -1)  # [B, T]
        square = jnp.einsum("btr,brs->bts", weights, products)
        square = jnp.sum(square * weights, -1)
        norms = jax.lax.rsqrt(square + _EPSILON)
        norms *= jax.lax.rsqrt(jnp.sum(word * word, -1) + _EPSILON)[None]
        return jax.nn.logsumexp(gamma2 * product * norms, axis=-1, where=mask)

    scores = jax.lax.map(one_caption, (words, word_mask), batch_size=_CAPTIONS_AT_ONCE)
    return scores.T  # [B, K]


def _over_mesh(local, images, captions):
    """Scores [B, K] of B images with K captions, by blocks on the mesh.

    The captions, which are a sixteenth of the images, are gathered from the whole mesh,
    and every device holds its images and their scores with all captions. Where the
    images do not divide over both axes, those of `data` stay whole on a row of
    `spatial`, whose devices share the captions among themselves.

    Args:
      local: `local(images, captions) -> scores`, on a block.
      images: tree of [B, ...] leaves.
      captions: tree of [K, ...] leaves.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return local(images, captions)

    def divided(tree, *axes):
        rows = jax.tree.leaves(tree)[0].shape[0]
        return axes if constraints.divides(rows, axes) else None

    rows, columns = divided(images, *meshes.AXES), None
    if rows is None:
        rows, columns = divided(images, "data"), divided(captions, "spatial")
    return jax.shard_map(
        local,
        in_specs=(PartitionSpec(rows), PartitionSpec(columns)),
        out_specs=PartitionSpec(rows, columns),
    )(images, captions)


def _matching_losses(scores, class_id):
    """Cross entropy of the matching pairs, both ways.

    Args:
      scores: [B, B] of image i with caption j.
      class_id: [B] or None; other pairs of one class are left out.

    Returns:
      Caption given image, image given caption.
    """
    pair = jnp.eye(len(scores), dtype=bool)
    if class_id is not None:
        other = (class_id[:, None] == class_id[None, :]) & ~pair
        scores = jnp.where(other, jnp.finfo(scores.dtype).min, scores)
    # Not `jnp.diagonal`: it branches, and devices of a mesh that gather what a branch
    # reads can wait for each other for ever (jax 0.10.2 on several CPU devices).
    matching = jnp.sum(jnp.where(pair, scores, 0), axis=1)
    by_image = jnp.mean(jax.nn.logsumexp(scores, axis=1) - matching)
    by_caption = jnp.mean(jax.nn.logsumexp(scores, axis=0) - matching)
    return by_image, by_caption


def word_loss(regions, words, word_mask, class_id, *, gamma1, gamma2, gamma3):
    """Word-level matching loss ([35], Eq. 10-12).

    Args:
      regions: [B, R, D] image regions.
      words: [B, T, D] word features.
      word_mask: [B, T] bool, True on real words.
      class_id: [B] or None: pairs of one class are no negatives.
      gamma1: sharpness of the softmax over regions.
      gamma2: weight of the best words.
      gamma3: sharpness of the softmax over the batch.

    Returns:
      Losses of caption given image and of image given caption.

    Sharding: inputs P("data"); returns replicated scalars.
    """

    def local(regions, captions):
        return word_similarity(regions, *captions, gamma1=gamma1, gamma2=gamma2)

    scores = _over_mesh(local, regions, (words, word_mask))
    return _matching_losses(gamma3 * scores, class_id)


def sentence_loss(code, sentence, class_id, *, gamma3):
    """Sentence-level matching loss ([35], Eq. 13).

    Args:
      code: [B, D] image codes.
      sentence: [B, D] sentence vectors.
      class_id: [B] or None: pairs of one class are no negatives.
      gamma3: sharpness of the softmax over the batch.

    Returns:
      Losses of caption given image and of image given caption.
    """
    dtype = jnp.promote_types(jnp.result_type(code, sentence), jnp.float32)
    code, sentence = code.astype(dtype), sentence.astype(dtype)

    def local(code, sentence):
        # On accelerators the default precision would round the cosine to 3 digits.
        return jnp.matmul(
            _unit(code), _unit(sentence).T, precision=jax.lax.Precision.HIGHEST
        )

    scores = gamma3 * _over_mesh(local, code, sentence)
    return _matching_losses(scores, class_id)


def damsm_loss(
    regions, words, word_mask, code, sentence, class_id, *, gamma1, gamma2, gamma3
):
    """Sum of the word and sentence matching losses.

    Args:
      regions: [B, R, D] image regions.
      words: [B, T, D] word features.
      word_mask: [B, T] bool, True on real words.
      code: [B, D] image codes.
      sentence: [B, D] sentence vectors.
      class_id: [B] or None: pairs of one class are no negatives.
      gamma1: sharpness of the softmax over regions.
      gamma2: weight of the best words.
      gamma3: sharpness of the softmax over the batch.

    Returns:
      The sum, and a dict of its parts word0, word1 (caption given image, image
      given caption), sentence0, sentence1.
    """
    word0, word1 = word_loss(
        regions,
        words,
        word_mask,
        class_id,
        gamma1=gamma1,
        gamma2=gamma2,
        gamma3=gamma3,
    )
    sentence0, sentence1 = sentence_loss(code, sentence, class_id, gamma3=gamma3)
    losses = {
        "word0": word0,
        "word1": word1,
        "sentence0": sentence0,
        "sentence1": sentence1,
    }
    return sum(losses.values()), losses
