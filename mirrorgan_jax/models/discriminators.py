"""Discriminators with unconditional and conditional logits (section 3.4, Eq. 10)."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from mirrorgan_jax.models import convolution, layers, orthogonal
from mirrorgan_jax.parallel import constraints

IMAGE_SIZES = (8, 16, 32, 64, 128, 256)
NORMS = ("batch", "spectral", "none")


def trunk_widths(image_size):
    """Widths in units of ndf of the trunk's stride-2 and of its 3x3 convolutions.

    Every stride-2 convolution doubles the width, down to 4x4; the 3x3 ones bring
    it back to 8. Small images start wider, so that every trunk ends at 8.

    Raises:
      ValueError: the size is not supported.
    """
    if image_size not in IMAGE_SIZES:
        raise ValueError(f"image_size = {image_size} is not one of {IMAGE_SIZES}")
    count = int(math.log2(image_size // 4))
    first = max(8 // 2 ** (count - 1), 1)
    down = [first * 2**i for i in range(count)]
    refine = [down[-1] // 2**i for i in range(1, max(len(down) - 4, 0) + 1)]
    return down, refine


def _taps(size):
    """[size*size, 9]: which taps of a padded 3x3 kernel fall on the map."""
    line = np.array(
        [[0 <= row + tap - 1 < size for tap in range(3)] for row in range(size)],
        np.float32,
    )
    return np.einsum("rk,cl->rckl", line, line).reshape(size * size, 9)


class JointConv(layers.KernelModule):
    """3x3 convolution of [features | sentence at every pixel], in two parts.

    The convolution is linear, and the sentence the same everywhere: its part
    needs one product a tap, not one a tap and pixel, and each part is computed
    once for all the pairs that it is in.
    """

    features: int = 0

    @nn.compact
    def __call__(self, maps, sentences, *, train: bool):
        """Parts to be added.

        Args:
          maps: tuple of [B, H, W, C].
          sentences: [B, D].

        Returns:
          tuple of [B, H, W, features] of the maps, and the same of the sentences.
        """
        channels = maps[0].shape[-1]
        shape = (3, 3, channels + sentences.shape[-1], self.features)
        sentences, kernel, bias = self._parameters(sentences, shape, train)
        outputs = tuple(
            convolution.convolve(x.astype(kernel.dtype), kernel[:, :, :channels])
            for x in maps
        )
        size = maps[0].shape[1]
        taps = jnp.einsum("bd,kldo->bklo", sentences, kernel[:, :, channels:])
        taps = taps.reshape(-1, 9, self.features)
        spread = jnp.einsum("pk,bko->bpo", jnp.asarray(_taps(size), taps.dtype), taps)
        spread = spread.reshape(-1, size, size, self.features)
        return outputs, spread if bias is None else spread + bias


class ConvBlock(nn.Module):
    """Convolution, batch norm if any, leaky ReLU."""

    features: int
    size: int = 4
    stride: int = 2
    batch_norm: bool = True
    spectral: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        """[B, H, W, I] -> [B, H / stride, W / stride, features]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = constraints.shard_rows(x, narrowest=x.shape[1] // self.stride)
        x = layers.Conv(
            features=self.features,
            size=self.size,
            stride=self.stride,
            spectral=self.spectral,
            name="conv",
            **types,
        )(x, train=train)
        if self.batch_norm:
            norm = {"scale_init": layers.scale_init, **types}
            x = layers.BatchNorm(name="norm", **norm)(x, train=train)
        return constraints.shard_rows(layers.leaky_relu(x))


class JointBlock(nn.Module):
    """Logits of pairs: 3x3 convolution of both, batch norm, leaky ReLU, logit."""

    features: int
    batch_norm: bool = True
    spectral: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, maps, sentences, pairs, *, train: bool):
        """Logits of the given pairs, in their order.

        Args:
          maps: tuple of [B, 4, 4, C].
          sentences: [B, D].
          pairs: tuple of (position in maps, its rows, the sentences' rows).

        Returns:
          tuple of [rows] logits.
        """
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        kernel = {"spectral": self.spectral, **types}
        visual, textual = JointConv(features=self.features, name="conv", **kernel)(
            maps, sentences, train=train
        )
        norm = None
        if self.batch_norm:
            norm = layers.BatchNorm(scale_init=layers.scale_init, name="norm", **types)
        logit = layers.FullConv(use_bias=True, name="logit", **kernel)
        logits = []
        for i, image_rows, sentence_rows in pairs:
            x = visual[i][image_rows] + textual[sentence_rows]
            x = x if norm is None else norm(x, train=train)
            logits.append(logit(layers.leaky_relu(x), train=train)[:, 0])
        return tuple(logits)


class Discriminator(nn.Module):
    """Real or not, and does the sentence fit.

    `norm`: "batch" (the reference), "spectral" (no batch norm) or "none".
    `sentence_dim` > 0 projects the sentence to that size first; 0 joins it as is.
    `remat`: policy of `layers.remat` for the trunk's blocks.
    """

    image_size: int
    ndf: int = 64
    norm: str = "batch"
    sentence_dim: int = 0
    remat: str = "none"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        if self.norm not in NORMS:
            raise ValueError(f"norm = {self.norm!r} is not one of {NORMS}")
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        batch_norm, spectral = self.norm == "batch", self.norm == "spectral"
        norm = {"batch_norm": batch_norm, "spectral": spectral, **types}
        down, refine = trunk_widths(self.image_size)
        self.down = [
            # The first one sees pixels and has no batch norm.
            ConvBlock(self.ndf * k, **{**norm, "batch_norm": batch_norm and i > 0})
            for i, k in enumerate(down)
        ]
        self.refine = [
            ConvBlock(self.ndf * k, size=3, stride=1, **norm) for k in refine
        ]
        self.joint = JointBlock(self.ndf * (down + refine)[-1], **norm)
        self.logit = layers.FullConv(use_bias=True, spectral=spectral, **types)
        if self.sentence_dim:
            self.sentence = nn.Dense(
                self.sentence_dim, kernel_init=orthogonal.orthogonal, **types
            )

    def features(self, images, *, train: bool):
        """Trunk: [B, S, S, 3] -> [B, 4, 4, C].

        Raises:
          ValueError: S is not `image_size`.
        """
        if images.shape[1:3] != (self.image_size,) * 2:
            raise ValueError(
                f"images of {images.shape[1:3]} given to the discriminator of"
                f" image_size = {self.image_size}"
            )
        x = constraints.shard_rows(images)
        for block in (*self.down, *self.refine):
            x = layers.remat(block, self.remat)(x, train=train)
        return x

    def _project(self, sentence):
        return self.sentence(sentence) if self.sentence_dim else sentence

    def _uncond(self, features, train):
        return self.logit(features, train=train)[:, 0]

    def __call__(self, images, sentence, *, train: bool):
        """Logits of images and of their pairs with sentences.

        Args:
          images: [B, S, S, 3] in [-1, 1].
          sentence: [B, D].

        Returns:
          unconditional [B] and conditional [B] logits.
        """
        x = self.features(images, train=train)
        everything = slice(None)
        (cond,) = self.joint(
            (x,), self._project(sentence), ((0, everything, everything),), train=train
        )
        return self._uncond(x, train), cond

    def pairs(self, real, fake, sentence, *, wrong_pairs: bool, train: bool):
        """Logits of the discriminator's own update (Eq. 10).

        Real and fake images go through the trunk in two calls, as batch norm
        must see them; the joint block sees real, fake and wrong pairs.

        Args:
          real, fake: [B, S, S, 3] in [-1, 1].
          sentence: [B, D].
          wrong_pairs: add the pairs (real image i, sentence i + 1).

        Returns:
          dict of logits: real, cond_real, fake, cond_fake [B], and with
          wrong_pairs cond_wrong [B - 1].
        """
        maps = tuple(self.features(x, train=train) for x in (real, fake))
        everything = slice(None)
        pairs = [(0, everything, everything), (1, everything, everything)]
        if wrong_pairs:
            pairs.append((0, slice(None, -1), slice(1, None)))
        cond = self.joint(maps, self._project(sentence), tuple(pairs), train=train)
        names = ("cond_real", "cond_fake", "cond_wrong")
        logits = dict(zip(names, cond, strict=False))
        logits["real"], logits["fake"] = (self._uncond(x, train) for x in maps)
        return logits
