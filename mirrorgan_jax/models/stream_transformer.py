"""A captioner of another family: a causal transformer over words and regions.

It judges what a generator has learned from STREAM, so it has neither recurrence nor the
attention of `stream_attention`: self-attention over the words before, then attention
over the image's regions with several heads [Vaswani et al., 2017], norms first.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mirrorgan_jax.models import stream, stream_attention

HEADS = 4


def _positions(count, width):
    """[count, width] sines and cosines of wavelengths from 2 pi to 10,000 times it."""
    rates = 1e4 ** (-jnp.arange(0, width, 2) / width)
    angles = jnp.arange(count)[:, None] * rates[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], 1)


class _Block(nn.Module):
    """Words look at words, then at regions, then each at itself."""

    hidden_dim: int
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, words, regions):
        """[B, T, E] words and [B, R, E] regions -> [B, T, E]."""
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        attention = {"num_heads": HEADS, "force_fp32_for_softmax": True, **kinds}
        earlier = nn.make_causal_mask(jnp.ones(words.shape[:2]))
        own = nn.LayerNorm(name="norm_words", **kinds)(words)
        words += nn.MultiHeadDotProductAttention(name="words", **attention)(
            own, mask=earlier
        )
        own = nn.LayerNorm(name="norm_regions", **kinds)(words)
        words += nn.MultiHeadDotProductAttention(name="regions", **attention)(
            own, regions
        )
        own = nn.LayerNorm(name="norm_hidden", **kinds)(words)
        own = nn.gelu(nn.Dense(self.hidden_dim, name="hidden", **kinds)(own))
        return words + nn.Dense(words.shape[-1], name="out", **kinds)(own)


class TransformerDecoder(nn.Module):
    """Writes the caption of an image; called as `stream.CaptionDecoder`.

    Attributes:
      vocab_size: V.
      embed_dim: E, of words, regions and the image feature; a multiple of `HEADS`.
      hidden_dim: of the blocks' two dense layers.
      num_layers: blocks.
    """

    vocab_size: int
    embed_dim: int = 256
    hidden_dim: int = 512
    num_layers: int = 1
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.embedding = nn.Embed(self.vocab_size, self.embed_dim, **kinds)
        self.regions = stream_attention.PlacedRegions(self.embed_dim, **kinds)
        self.blocks = [
            _Block(self.hidden_dim, name=f"block_{i}", **kinds)
            for i in range(self.num_layers)
        ]
        self.norm = nn.LayerNorm(**kinds)
        self.linear = nn.Dense(self.vocab_size, **kinds)

    def __call__(self, seen, tokens):
        """Word distributions under teacher forcing.

        Args:
          seen: `stream.Seen`; the feature stands before the first word.
          tokens: [B, T] the caption.

        Returns:
          `stream.Described` without weights: every block and head has its own.
        """
        regions = self.regions(seen.regions)
        words = self.embedding(tokens[:, :-1])
        feature = seen.feature[:, None].astype(words.dtype)
        x = jnp.concatenate([feature, words], 1)
        x += _positions(*x.shape[1:])[None].astype(x.dtype)
        for block in self.blocks:
            x = block(x, regions)
        return stream.Described(self.linear(self.norm(x)))

    def greedy(self, seen, max_words):
        """The most likely word at every step.

        Args:
          seen: `stream.Seen`.
          max_words: number of steps; each computes the words before it again, which
            for captions is cheaper than it is worth to avoid.

        Returns:
          ids [B, max_words] int32.
        """

        def step(decoder, tokens, position):
            logits = decoder(seen, tokens).logits
            ids = logits[:, position].argmax(-1).astype(jnp.int32)
            return tokens.at[:, position].set(ids), None

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
        tokens = jnp.zeros((seen.feature.shape[0], max_words), jnp.int32)
        return scan(self, tokens, jnp.arange(max_words))[0]
