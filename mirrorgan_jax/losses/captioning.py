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
