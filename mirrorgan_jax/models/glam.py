"""GLAM: the multi-stage generator (section 3.2, Eq. 3)."""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from mirrorgan_jax.models import attention, layers, orthogonal, stem
from mirrorgan_jax.parallel import constraints

BASE_SIZES = (8, 16, 32, 64)


class GeneratorOutput(NamedTuple):
    """What the generator makes of a batch.

    Attributes:
      images: tuple of [B, q, q, 3] in [-1, 1], coarse to fine.
      word_attention: tuple of [B, q, q, T] (None if switched off), one for every
        stage after the first, q being the size of the stage before.
      sentence_attention: tuple of [B, q, q, M] likewise.
      mu, logvar: [B, C'] of the conditioning augmentation.
    """

    images: tuple
    word_attention: tuple
    sentence_attention: tuple
    mu: Any
    logvar: Any


class InitialStage(nn.Module):
    """F_0: Dense, BN, GLU to 4x4, then up-blocks to the base size."""

    base_size: int
    ngf: int
    remat: str = "none"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, condition, z, *, train: bool):
        """condition [B, C'], z [B, Z] -> [B, base_size, base_size, ngf]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        width = self.ngf * self.base_size // 4
        x = jnp.concatenate([condition, z], -1)
        x = nn.Dense(
            2 * 16 * width,
            use_bias=False,
            kernel_init=orthogonal.orthogonal,
            name="dense",
            **types,
        )(x)
        norm = layers.BatchNorm(scale_init=layers.scale_init, name="norm", **types)
        x = layers.glu(norm(x, train=train))
        # Channel-major, as PyTorch's weights are.
        x = x.reshape(-1, width, 4, 4).transpose(0, 2, 3, 1)  # [B, 4, 4, width]
        x = constraints.shard_rows(x)
        for i in range(int(math.log2(self.base_size // 4))):
            width //= 2
            block = layers.UpBlock(width, name=f"up_{i}", **types)
            x = layers.remat(block, self.remat)(x, train=train)
        return x


class NextStage(nn.Module):
    """F_i: attention, 1x1 convolution, residual blocks, up-block.

    Without `context_reduction` there is no such convolution, as in AttnGAN: what
    follows is as wide as the features and their contexts.
    `condition_context` joins the augmented sentence to every pixel before the 1x1
    convolution, beside the attentions' contexts or in their place (StackGAN++).
    """

    num_residual: int
    softmax_axis: str
    sentence_conv: bool
    word_context: bool
    sentence_context: bool
    condition_context: bool = False
    context_reduction: bool = True
    remat: str = "none"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features, condition, words, mask, *, train: bool):
        """One stage.

        Args:
          features: [B, q, q, M] of the stage before.
          condition: [B, C'] augmented sentence.
          words: [B, T, D].
          mask: [B, T] bool, True on real words.

        Returns:
          features [B, 2q, 2q, M], word map and sentence map (see
          `attention.GlobalLocalAttention`).
        """
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        width = features.shape[-1]
        contexts, word_map, sentence_map = attention.GlobalLocalAttention(
            softmax_axis=self.softmax_axis,
            sentence_conv=self.sentence_conv,
            word_context=self.word_context,
            sentence_context=self.sentence_context,
            name="attention",
            **types,
        )(features, condition, words, mask)
        x = jnp.concatenate([features, *contexts], -1)
        if self.context_reduction:
            x = layers.Pointwise(features=2 * width, name="reduce", **types)(x)
        if self.condition_context:
            # The condition is the same everywhere: its part of the 1x1 convolution
            # needs one product, not one a pixel.
            joined = layers.Pointwise(
                features=2 * width, name="reduce_condition", **types
            )
            x += joined(condition)[:, None, None]
        for i in range(self.num_residual):
            block = layers.ResidualBlock(name=f"residual_{i}", **types)
            x = layers.remat(block, self.remat)(x, train=train)
        up = layers.UpBlock(width, name="up", **types)
        x = layers.remat(up, self.remat)(constraints.shard_rows(x), train=train)
        return x, word_map, sentence_map


class ImageHead(nn.Module):
    """G_i: features [B, q, q, M] -> image [B, q, q, 3] in [-1, 1]."""

    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features):
        x = layers.Conv(
            features=3, name="conv", dtype=self.dtype, param_dtype=self.param_dtype
        )(features)
        x = jnp.tanh(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
        return constraints.shard_rows(x)


class Generator(nn.Module):
    """Text features and noise -> images of every stage.

    `word_context` and `sentence_context` switch the two attentions (Table 3),
    `condition_context` the augmented sentence at every pixel of later stages (it needs
    `context_reduction`, the 1x1 convolution behind all of them); `remat` is the policy
    of `layers.remat` for up-blocks and residual blocks.
    """

    stages: int = 3
    base_size: int = 64
    ngf: int = 32
    condition_dim: int = 100
    num_residual: int = 2
    softmax_axis: str = "channel"
    sentence_conv: bool = False
    word_context: bool = True
    sentence_context: bool = True
    condition_context: bool = False
    context_reduction: bool = True
    remat: str = "none"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z, eps, sentence, words, mask, *, train: bool):
        """Generates.

        Args:
          z: [B, Z] standard normal noise.
          eps: [B, C'] noise of the conditioning augmentation.
          sentence: [B, D].
          words: [B, T, D].
          mask: [B, T] bool, True on real words.
          train: batch statistics.

        Returns:
          a `GeneratorOutput`.

        Raises:
          ValueError: stages or base_size is not supported.
        """
        if self.stages not in (1, 2, 3):
            raise ValueError(f"stages = {self.stages} is not one of (1, 2, 3)")
        if self.base_size not in BASE_SIZES:
            raise ValueError(f"base_size = {self.base_size} is not one of {BASE_SIZES}")
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        condition, mu, logvar = stem.ConditioningAugmentation(
            self.condition_dim, name="conditioning", **types
        )(sentence, eps)
        x = InitialStage(self.base_size, self.ngf, self.remat, name="stage_0", **types)(
            condition, z, train=train
        )
        images = [ImageHead(name="image_0", **types)(x)]
        word_maps, sentence_maps = [], []
        for i in range(1, self.stages):
            x, word_map, sentence_map = NextStage(
                self.num_residual,
                self.softmax_axis,
                self.sentence_conv,
                self.word_context,
                self.sentence_context,
                self.condition_context,
                self.context_reduction,
                self.remat,
                name=f"stage_{i}",
                **types,
            )(x, condition, words, mask, train=train)
            images.append(ImageHead(name=f"image_{i}", **types)(x))
            word_maps.append(word_map)
            sentence_maps.append(sentence_map)
        return GeneratorOutput(
            tuple(images), tuple(word_maps), tuple(sentence_maps), mu, logvar
        )


def noise(key, batch_size, z_dim, condition_dim):
    """z [B, Z] of Eq. 3 and eps [B, D'] of the conditioning augmentation."""
    z_key, eps_key = jax.random.split(key)
    z = jax.random.normal(z_key, (batch_size, z_dim))
    return z, jax.random.normal(eps_key, (batch_size, condition_dim))
