"""A decoder that looks at regions of the image before each word (section 4.4).

STREAM of the paper sees one feature of the image. This one attends softly over the
regions of the trunk at every word [Show, Attend and Tell, Xu et al., 2015].
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mirrorgan_jax.models import stream

# Of the score's hidden layer, whose [B, T, R] rows are most of the decoder's work, in
# those of the LSTM: with as many, a step on toybirds took two thirds more.
_SCORE_SHARE = 4
_place_init = nn.initializers.normal(0.02)


class PlacedRegions(nn.Module):
    """Regions in the space of the words, with the row and the column they lie in.

    The last maps of a trunk hardly tell where they are, and a caption says which part
    of a bird has a colour.
    """

    features: int
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, maps):
        """[B, H, W, C] -> [B, H * W, features]."""
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = nn.Dense(self.features, name="linear", **kinds)(maps)
        for name, shape in (
            ("rows", (1, x.shape[1], 1, self.features)),
            ("columns", (1, 1, x.shape[2], self.features)),
        ):
            x += self.param(name, _place_init, shape, self.param_dtype).astype(x.dtype)
        return x.reshape(x.shape[0], -1, self.features)


class AttentionDecoder(nn.Module):
    """LSTM that looks at the regions before each word; called as `CaptionDecoder`.

    The recurrent state after the words so far asks, with a score of one hidden layer,
    for a convex mixture of the regions; a gate says how much the next word needs it
    [Show, Attend and Tell, section 4.2]. There the state before the last word asks,
    and the mixture enters the next state. Here the last word is seen by what asks, and
    states depend on words alone, so that all words of a caption ask at once.

    Attributes:
      vocab_size: V.
      embed_dim: E, of words, regions and the image feature.
      hidden_dim: of every layer; the score has a quarter of it, rounded up.
      num_layers: LSTM layers.
      forget_bias: added to the initial biases of the forget gates.
    """

    vocab_size: int
    embed_dim: int = 256
    hidden_dim: int = 512
    num_layers: int = 1
    forget_bias: float = 2.0
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.embedding = nn.Embed(self.vocab_size, self.embed_dim, **kinds)
        self.starts = [
            nn.Dense(2 * self.hidden_dim, name=f"start_{i}", **kinds)
            for i in range(self.num_layers)
        ]
        self.cells = [
            stream.RememberingLSTM(
                self.hidden_dim,
                forget_bias=self.forget_bias,
                name=f"forward_{i}",
                **kinds,
            )
            for i in range(self.num_layers)
        ]
        self.regions = PlacedRegions(self.embed_dim, **kinds)
        score_dim = -(-self.hidden_dim // _SCORE_SHARE)
        self.key = nn.Dense(score_dim, **kinds)
        self.query = nn.Dense(score_dim, use_bias=False, **kinds)
        self.score = nn.Dense(1, use_bias=False, **kinds)
        self.gate = nn.Dense(1, **kinds)
        self.mixed = nn.Dense(self.hidden_dim, **kinds)
        self.linear = nn.Dense(self.vocab_size, **kinds)

    def _start(self, seen):
        """(regions [B, R, E], their keys [B, R, H']) and the layers' first carries."""
        regions = self.regions(seen.regions)
        carries = []
        for dense in self.starts:
            state = jnp.tanh(dense(seen.feature))
            wide = state.astype(jnp.promote_types(state.dtype, jnp.float32))
            carries.append(tuple(jnp.split(wide, 2, -1)))
        return (regions, self.key(regions)), tuple(carries)

    def _run(self, tokens, carries, regions, keys):
        """`stream.Described` of what follows tokens [B, T], and the last carries."""
        x, last = self.embedding(tokens), []
        for layer, carry in zip(self.cells, carries, strict=True):
            x, carry = layer(x, None, initial=carry)
            last.append(carry)
        scores = jnp.tanh(keys[:, None] + self.query(x)[:, :, None])  # [B, T, R, H']
        scores = self.score(scores)[..., 0]
        wide = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
        weights = jax.nn.softmax(wide, axis=-1)
        context = jnp.einsum("btr,bre->bte", weights.astype(regions.dtype), regions)
        context *= nn.sigmoid(self.gate(x))
        x = jnp.tanh(self.mixed(jnp.concatenate([x, context], -1)))
        return stream.Described(self.linear(x), weights), tuple(last)

    def __call__(self, seen, tokens):
        """Word distributions under teacher forcing.

        Args:
          seen: `stream.Seen`; the feature makes the states before the first word,
            which follows id 0.
          tokens: [B, T] the caption.

        Returns:
          `stream.Described`.
        """
        inputs, carries = self._start(seen)
        before = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)))
        return self._run(before, carries, *inputs)[0]

    def greedy(self, seen, max_words):
        """The most likely word at every step.

        Args:
          seen: `stream.Seen`.
          max_words: number of steps.

        Returns:
          ids [B, max_words] int32.
        """
        inputs, carries = self._start(seen)

        def step(decoder, state, _):
            ids, carries = state
            described, carries = decoder._run(ids[:, None], carries, *inputs)
            ids = described.logits[:, 0].argmax(-1).astype(jnp.int32)
            return (ids, carries), ids

        scan = nn.scan(
            step,
            variable_broadcast="params",
            split_rngs={"params": False},
            length=max_words,
        )
        before = jnp.zeros(seen.feature.shape[:1], jnp.int32)
        return scan(self, (before, carries), None)[1].T
