"""Text reconstruction loss of STREAM (paper Eq. 8)."""

import jax
import jax.numpy as jnp


def caption_loss(logits, tokens, length, *, reduction):
    """Cross entropy of the caption under STREAM's word distributions (Eq. 8).

    Args:
      logits: [B, T, V]; position t predicts word t.
      tokens: [B, T] the caption, 0 at padding.
      length: [B] number of words.
      reduction: "mean" over all words of the batch (the reference), or "sum"
        over a caption's words, then the mean over captions (Eq. 8 as printed).

    Returns:
      The scalar loss.

    Raises:
      ValueError: unknown reduction.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction = {reduction!r}: one of 'mean', 'sum'")
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    picked = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    loss = jax.nn.logsumexp(logits, axis=-1) - picked  # [B, T]
    mask = jnp.arange(tokens.shape[1])[None] < length[:, None]
    total = jnp.sum(jnp.where(mask, loss, 0))
    count = jnp.sum(mask) if reduction == "mean" else tokens.shape[0]
    return total / count


def with_end(tokens, length):
    """Captions with the word that ends them, id 0, as one more word to predict.

    Args:
      tokens: [B, T], 0 at padding.
      length: [B] number of words.

    Returns:
      tokens [B, T + 1] and length [B], each one more.
    """
    return jnp.pad(tokens, ((0, 0), (0, 1))), length + 1


def attention_regularisation(weights, length):
    """How unevenly a caption's words share the regions (Show, Attend and Tell, Eq. 14).

    Args:
      weights: [B, T, R] attention at each word; sums to 1 over R.
      length: [B] number of words.

    Returns:
      The scalar mean over captions and regions of (1 - sum_t weights)^2.
    """
    weights = weights.astype(jnp.promote_types(weights.dtype, jnp.float32))
    real = jnp.arange(weights.shape[1])[None] < length[:, None]
    looked = jnp.sum(jnp.where(real[..., None], weights, 0), axis=1)  # [B, R]
    return jnp.mean(jnp.square(1 - looked))
