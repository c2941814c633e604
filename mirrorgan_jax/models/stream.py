"""STREAM, which redescribes an image: CNN encoder and a decoder (Eq. 6).

The decoder of the paper is here. Those that look at regions of the image, the outlook
of section 4.4, are `stream_attention` and `stream_transformer`; all are called alike.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from mirrorgan_jax.models import image_encoder, layers, recurrent, resize, resnet
from mirrorgan_jax.parallel import constraints

BACKBONES = ("resnet152", "small")
INPUT_NORMS = ("imagenet", "raw")
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class Seen(NamedTuple):
    """What a decoder is given of images.

    Attributes:
      feature: [B, E], x_{-1} of Eq. 6, which starts the decoder.
      regions: [B, H, W, C] the trunk's map (7x7 regions of ResNet-152, C = 2048);
        decoders that do not look at them do without.
    """

    feature: jax.Array
    regions: jax.Array | None = None


class Described(NamedTuple):
    """What a decoder says under teacher forcing.

    Attributes:
      logits: [B, T, V]; position t has seen the image and words 0..t-1 and predicts
        word t. Positions from the caption's length on mean nothing.
      weights: [B, T, R] its attention over the regions in row-major order at each
        word; they sum to 1 over R. None of a decoder without one.
    """

    logits: jax.Array
    weights: jax.Array | None = None


class CaptionEncoder(nn.Module):
    """What STREAM sees of images.

    Attributes:
      backbone: "resnet152" or "small" (`image_encoder.SmallTrunk`, to which
        `input_norm` and `input_size` do not apply).
      feature_dim: E.
      input_norm: "imagenet" subtracts ImageNet's mean and divides by its
        deviation; "raw" gives [-1, 1] (the reference).
      align_corners: how the input is resized; True is the reference.
      input_size: side of the trunk's input; 0 leaves images as they are.
      width: `SmallTrunk.width`.
      region_size: `SmallTrunk.region_size`.
      image_size: `SmallTrunk.image_size`.
      stage_sizes: blocks of the residual network's stages, as ResNet-152's.
      stem_width: channels of its stem.
      stage_widths: inner channels of its stages.
      freeze_trunk: the trunk never uses or updates batch statistics, and training
        sends no gradient into it.
      remat: policy of `layers.remat` for the residual network's blocks.
    """

    backbone: str = "resnet152"
    feature_dim: int = 256
    input_norm: str = "imagenet"
    align_corners: bool = False
    input_size: int | None = 224
    width: int = 16
    region_size: int = 8
    image_size: int = 0
    stage_sizes: Sequence[int] = (3, 8, 36, 3)
    stem_width: int = 64
    stage_widths: Sequence[int] = (64, 128, 256, 512)
    freeze_trunk: bool = False
    remat: str = "none"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if self.input_norm not in INPUT_NORMS:
            raise ValueError(f"input_norm = {self.input_norm!r}: one of {INPUT_NORMS}")
        if self.backbone == "resnet152":
            self.trunk = resnet.ResNet(
                self.stage_sizes,
                self.stem_width,
                self.stage_widths,
                self.remat,
                **kinds,
            )
        elif self.backbone == "small":
            self.trunk = image_encoder.SmallTrunk(
                self.width, self.region_size, self.image_size, **kinds
            )
        else:
            raise ValueError(f"backbone = {self.backbone!r}: one of {BACKBONES}")
        self.linear = nn.Dense(self.feature_dim, **kinds)
        self.bn = layers.BatchNorm(momentum=0.01, **kinds)

    def look(self, images, *, train: bool):
        """Regions [B, H, W, C] and pooled features [B, C'] of images [B, S, S, 3]."""
        if self.backbone == "small":
            return self.trunk(images, train=train)
        if self.input_size:
            # Every row of the result needs rows that another device may hold.
            images = resize.resize(
                constraints.shard_images(images),
                self.input_size,
                align_corners=self.align_corners,
                antialias=False,
            )
        if self.input_norm == "imagenet":
            mean = jnp.asarray(_IMAGENET_MEAN, images.dtype)
            std = jnp.asarray(_IMAGENET_STD, images.dtype)
            images = (images + 1) / 2 - layers.aligned(mean, images)
            images = images / layers.aligned(std, images)
        return self.trunk(constraints.shard_maps(images), train=train)

    def __call__(self, images, *, train: bool):
        """Feature and regions of images.

        Args:
          images: [B, S, S, 3] in [-1, 1].
          train: use and update the batch statistics.

        Returns:
          `Seen`.
        """
        regions, pooled = self.look(images, train=train and not self.freeze_trunk)
        if train and self.freeze_trunk:
            regions, pooled = jax.lax.stop_gradient((regions, pooled))
        feature = self.bn(self.linear(pooled), train=train)
        # Every region is attended to: a device has all of an image's.
        return Seen(feature, constraints.shard_images(regions))


class RememberingLSTM(recurrent.Recurrent):
    """LSTM whose forget gates start open.

    The decoder sees the image once, before the first word. With gates that start
    half closed the image fades within a few words, and training from scratch ends
    in a language model that ignores it.
    """

    forget_bias: float = 0.0

    def param(self, name, init_fn, *args, **kwargs):
        """`nn.Module.param`, with `forget_bias` added where gates are forgotten."""

        def remembering(key, shape, *rest):
            value = init_fn(key, shape, *rest)
            _, forget, _, _ = jnp.split(jnp.arange(value.size), 4)
            return value.at[forget].add(self.forget_bias)

        init = remembering if name == "input_bias" else init_fn
        return super().param(name, init, *args, **kwargs)


class CaptionDecoder(nn.Module):
    """LSTM that writes the caption of an image feature (Eq. 6).

    Attributes:
      vocab_size: V.
      embed_dim: E, the dimension of word embeddings and of the image feature.
      hidden_dim: of every layer.
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
        self.cells = [
            RememberingLSTM(
                self.hidden_dim,
                forget_bias=self.forget_bias,
                name=f"forward_{i}",
                **kinds,
            )
            for i in range(self.num_layers)
        ]
        self.linear = nn.Dense(self.vocab_size, **kinds)

    def _run(self, x, carries):
        """Layers over x [B, T, E]: logits [B, T, V] and the layers' last carries."""
        last = []
        for layer, carry in zip(self.cells, carries, strict=True):
            x, carry = layer(x, None, initial=carry)
            last.append(carry)
        return self.linear(x), tuple(last)

    def __call__(self, seen, tokens):
        """Word distributions under teacher forcing.

        Args:
          seen: `Seen`; the feature is the input before the first word.
          tokens: [B, T] the caption.

        Returns:
          `Described` without weights.
        """
        words = self.embedding(tokens[:, :-1])
        feature = seen.feature[:, None].astype(words.dtype)
        inputs = jnp.concatenate([feature, words], 1)
        return Described(self._run(inputs, (None,) * self.num_layers)[0])

    def greedy(self, seen, max_words):
        """The most likely word at every step.

        Args:
          seen: `Seen`.
          max_words: number of steps.

        Returns:
          ids [B, max_words] int32.
        """

        def step(decoder, state, _):
            x, carries = state
            logits, carries = decoder._run(x, carries)
            ids = logits[:, 0].argmax(-1).astype(jnp.int32)
            x = decoder.embedding(ids)[:, None].astype(x.dtype)
            return (x, carries), ids

        # The first step stands before the scan: it has no carry to start from.
        logits, carries = self._run(seen.feature[:, None], (None,) * self.num_layers)
        first = logits[:, 0].argmax(-1).astype(jnp.int32)
        x = self.embedding(first)[:, None]
        scan = nn.scan(
            step,
            variable_broadcast="params",
            split_rngs={"params": False},
            length=max_words - 1,
        )
        _, ids = scan(self, (x, carries), None)
        return jnp.concatenate([first[:, None], ids.T], axis=1)


class Captioner(nn.Module):
    """STREAM: encoder and decoder.

    Attributes:
      encoder: a `CaptionEncoder`.
      decoder: `CaptionDecoder` or another that is called as it is.
      end_token: id 0 was learned as the word after a caption's last one.
    """

    encoder: CaptionEncoder
    decoder: nn.Module
    end_token: bool = False

    def describe(self, images, tokens, *, train: bool):
        """`Described` of captions given images; arguments as `__call__`."""
        return self.decoder(self.encoder(images, train=train), tokens)

    def __call__(self, images, tokens, *, train: bool):
        """Word distributions of captions given images.

        Args:
          images: [B, S, S, 3] in [-1, 1].
          tokens: [B, T] the captions.
          train: use and update the encoder's batch statistics.

        Returns:
          Logits [B, T, V], position t predicting word t.
        """
        return self.describe(images, tokens, train=train).logits

    def redescribe(self, images, max_words):
        """Greedy captions [B, max_words] of images [B, S, S, 3].

        With an end token all is 0 from the end on; without one the vocabulary has no
        word that ends a caption, and the caller decides where to stop.
        """
        ids = self.decoder.greedy(self.encoder(images, train=False), max_words)
        if not self.end_token:
            return ids
        return ids * jnp.cumprod(ids != 0, axis=1)
