"""STEM: text encoder and conditioning augmentation (section 3.1, Eq. 1 and 2)."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from mirrorgan_jax.models import layers, orthogonal, recurrent


class TextEncoder(nn.Module):
    """Bidirectional recurrent encoder of captions (Eq. 1)."""

    vocab_size: int
    embed_dim: int = 300
    word_dim: int = 256
    cell: str = "lstm"
    dropout: float = 0.5
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, tokens, length, *, train: bool):
        """Word and sentence features.

        Args:
          tokens: [B, T] int32, 0 at padding.
          length: [B] int32 number of real words.
          train: dropout of the embedded words (needs the "dropout" key).

        Returns:
          words [B, T, D], zero at padding, and sentence [B, D]: the states after
          the last word forwards and after the first word backwards.

        Raises:
          ValueError: the word dimension is odd.
        """
        if self.word_dim % 2:
            raise ValueError(f"word_dim = {self.word_dim} is not even")
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        embedding = nn.Embed(
            self.vocab_size,
            self.embed_dim,
            embedding_init=layers.symmetric_uniform(0.1),
            name="embedding",
            **types,
        )
        x = nn.Dropout(self.dropout, deterministic=not train)(embedding(tokens))
        outputs, last = [], []
        for name in ("forward_0", "backward_0"):
            direction = recurrent.Recurrent(
                self.word_dim // 2, self.cell, name=name, **types
            )
            states, carry = direction(x, length, reverse=name == "backward_0")
            outputs.append(states)
            last.append(carry[0].astype(states.dtype))
        return jnp.concatenate(outputs, -1), jnp.concatenate(last, -1)


class Captions(NamedTuple):
    """Encoded captions of a batch.

    Attributes:
      words: [B, T, D] word features.
      sentence: [B, D] sentence vectors.
      mask: [B, T] bool, True on real words.
      tokens: [B, T] token ids.
      length: [B] number of words.
      class_id: [B], or None where every image is a class of its own.
    """

    words: jax.Array
    sentence: jax.Array
    mask: jax.Array
    tokens: jax.Array
    length: jax.Array
    class_id: jax.Array | None = None


def encode_captions(text_encoder, variables, tokens, length, class_id=None):
    """`Captions` of token ids [B, T] and lengths [B], STEM in inference mode."""
    words, sentence = text_encoder.apply(variables, tokens, length, train=False)
    mask = jnp.arange(tokens.shape[1])[None] < length[:, None]
    return Captions(words, sentence, mask, tokens, length, class_id)


class ConditioningAugmentation(nn.Module):
    """Gaussian around the sentence (Eq. 2)."""

    condition_dim: int
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, sentence, eps):
        """Draws from the Gaussian.

        Args:
          sentence: [B, D].
          eps: [B, C'] standard normal noise.

        Returns:
          c, mu, logvar, each [B, C'].
        """
        dense = nn.Dense(
            4 * self.condition_dim,
            kernel_init=orthogonal.orthogonal,
            name="dense",
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        # The mean and the logarithm of the variance both come out of the GLU.
        gated = layers.glu(dense(sentence))
        gated = gated.astype(jnp.promote_types(gated.dtype, jnp.float32))
        mu, logvar = jnp.split(gated, 2, axis=-1)
        return mu + eps * jnp.exp(0.5 * logvar), mu, logvar
