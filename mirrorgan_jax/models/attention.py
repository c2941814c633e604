"""Global-local collaborative attention (section 3.2, Eq. 4 and 5)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mirrorgan_jax.models import layers, orthogonal

SOFTMAX_AXES = {"channel": (-1,), "spatial": (1, 2)}


def word_attention(features, words, mask=None):
    """Word context of every pixel (Eq. 4).

    Args:
      features: [B, H, W, M] visual features.
      words: [B, T, M] words in the visual space (U w), queries' keys and values.
      mask: [B, T] bool, True on real words; None: all are real.

    Returns:
      context [B, H, W, M] and weights [B, H, W, T] that sum to 1 over T.
    """
    scores = jnp.einsum("bhwm,btm->bhwt", features, words)
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    if mask is not None:
        floor = jnp.finfo(scores.dtype).min
        scores = jnp.where(mask[:, None, None, :], scores, floor)
    weights = jax.nn.softmax(scores, axis=-1)
    context = jnp.einsum("bhwt,btm->bhwm", weights.astype(words.dtype), words)
    return context, weights


def sentence_attention(scores, sentence, *, softmax_axis):
    """Sentence context of every pixel (Eq. 5).

    Args:
      scores: [B, H, W, M] products of the features with the sentence.
      sentence: [B, M] sentence in the visual space (V s_ca).
      softmax_axis: "channel" (over M at every pixel) or "spatial" (over H, W).

    Returns:
      context [B, H, W, M] and weights [B, H, W, M].

    Raises:
      ValueError: the axis is unknown.
    """
    if softmax_axis not in SOFTMAX_AXES:
        raise ValueError(
            f"softmax_axis = {softmax_axis!r} is not one of {sorted(SOFTMAX_AXES)}"
        )
    wide = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    weights = jax.nn.softmax(wide, axis=SOFTMAX_AXES[softmax_axis])
    return weights.astype(sentence.dtype) * sentence[:, None, None, :], weights


class GlobalLocalAttention(nn.Module):
    """Word and sentence contexts of visual features.

    Eq. 5 prints no axis for its softmax; over positions its output is about the
    features' size divided by their number, a dead branch. `sentence_conv` is the
    1x1 convolution that the authors' code has before that softmax.
    """

    softmax_axis: str = "channel"
    sentence_conv: bool = False
    word_context: bool = True
    sentence_context: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features, sentence, words, mask=None):
        """Contexts and maps.

        Args:
          features: [B, H, W, M].
          sentence: [B, C'] augmented sentence.
          words: [B, T, D].
          mask: [B, T] bool, True on real words.

        Returns:
          contexts: tuple of the word and sentence context [B, H, W, M], without
            those switched off; word weights [B, H, W, T] or None; sentence
            weights [B, H, W, M] or None.
        """
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        width = features.shape[-1]
        contexts, word_weights, sentence_weights = (), None, None
        if self.word_context:
            projection = layers.Pointwise(
                features=width, name="word_projection", **types
            )
            context, word_weights = word_attention(features, projection(words), mask)
            contexts += (context,)
        if self.sentence_context:
            values = nn.Dense(
                width,
                kernel_init=orthogonal.orthogonal,
                name="sentence_projection",
                **types,
            )(sentence)
            scores = features * values[:, None, None, :]
            if self.sentence_conv:
                conv = layers.Pointwise(features=width, name="sentence_conv", **types)
                scores = conv(scores)
            context, sentence_weights = sentence_attention(
                scores, values, softmax_axis=self.softmax_axis
            )
            contexts += (context,)
        return contexts, word_weights, sentence_weights
