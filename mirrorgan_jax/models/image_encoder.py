"""DAMSM image encoder: region features and an image code (paper section 3.1, [35])."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from mirrorgan_jax.models import inception, layers, resize
from mirrorgan_jax.parallel import constraints

BACKBONES = ("inception_v3", "small")
_INCEPTION_SIZE = 299
_LAST_SIDE = 4
_head_init = layers.symmetric_uniform(0.1)  # as the heads of [35]


class SmallTrunk(nn.Module):
    """Trunk that learns from scratch, for images of 32 to 128 pixels.

    Stride-2 convolutions down to a 4x4 map. The pooled features are that map
    itself, not its mean: where a colour is tells which part of the bird has it.

    Attributes:
      width: channels of the first map; they double at each stage up to 4 * width.
      region_size: side of the map that gives the regions.
      image_size: images of another size, such as those of a generator with fewer
        stages, are resized to this; 0 takes images as they are.
    """

    width: int = 16
    region_size: int = 8
    image_size: int = 0
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, *, train: bool):
        """Features of images.

        Args:
          images: [B, S, S, 3] in [-1, 1]; S, or `image_size`, is a power of two of
            at least 16.
          train: use and update the batch statistics.

        Returns:
          Regions [B, region_size, region_size, C] and pooled [B, 16 * C'].

        Raises:
          ValueError: it is no such power, or no map has `region_size` rows.
        """
        if self.image_size and images.shape[1] != self.image_size:
            images = resize.resize(
                constraints.shard_images(images),
                self.image_size,
                align_corners=False,
                antialias=True,
            )
            images = constraints.shard_maps(images)
        side, x, regions = images.shape[1], images, None
        if side < 16 or side & (side - 1):
            raise ValueError(f"image size {side}: a power of two of at least 16")
        features = self.width
        while side > _LAST_SIDE:
            x = nn.Conv(
                features,
                (4, 4) if x is images else (3, 3),
                2,
                padding=1,
                use_bias=False,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"conv_{side}",
            )(x)
            x = layers.BatchNorm(
                dtype=self.dtype, param_dtype=self.param_dtype, name=f"bn_{side}"
            )(x, train=train)
            x = constraints.shard_maps(nn.relu(x))
            side, features = side // 2, min(2 * features, 4 * self.width)
            if side == self.region_size:
                regions = x
        if regions is None:
            allowed = [2**i for i in range(2, images.shape[1].bit_length() - 1)]
            raise ValueError(f"region_size = {self.region_size}: one of {allowed}")
        return regions, x.reshape(x.shape[0], -1)


class ImageEncoder(nn.Module):
    """Image features in the space of the words and sentences.

    Attributes:
      backbone: "inception_v3" (input resized to 299) or "small".
      word_dim: D.
      width: `SmallTrunk.width`.
      region_size: `SmallTrunk.region_size`.
      image_size: `SmallTrunk.image_size`.
      align_corners: how the input of Inception is resized.
      freeze_trunk: the trunk never uses or updates batch statistics, and training
        sends no gradient into it.
      remat: policy of `layers.remat` for the blocks of Inception.
    """

    backbone: str = "inception_v3"
    word_dim: int = 256
    width: int = 16
    region_size: int = 8
    image_size: int = 0
    align_corners: bool = False
    freeze_trunk: bool = False
    remat: str = "none"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if self.backbone == "inception_v3":
            self.trunk = inception.InceptionV3(self.remat, **kinds)
        elif self.backbone == "small":
            self.trunk = SmallTrunk(
                self.width, self.region_size, self.image_size, **kinds
            )
        else:
            raise ValueError(f"backbone = {self.backbone!r}: one of {BACKBONES}")
        self.emb_features = nn.Conv(
            self.word_dim, (1, 1), use_bias=False, kernel_init=_head_init, **kinds
        )
        self.emb_cnn_code = nn.Dense(self.word_dim, kernel_init=_head_init, **kinds)

    def __call__(self, images, *, train: bool):
        """Regions and code of images.

        Args:
          images: [B, S, S, 3] in [-1, 1].
          train: use and update the trunk's batch statistics, unless it is frozen.

        Returns:
          regions [B, R, D] in row-major order and code [B, D].
        """
        if self.backbone == "inception_v3":
            images = resize.resize(
                constraints.shard_images(images),
                _INCEPTION_SIZE,
                align_corners=self.align_corners,
                antialias=False,
            )
        regions, pooled = self.trunk(images, train=train and not self.freeze_trunk)
        if train and self.freeze_trunk:
            regions, pooled = jax.lax.stop_gradient((regions, pooled))
        regions = self.emb_features(regions)
        regions = regions.reshape(regions.shape[0], -1, self.word_dim)  # [B, R, D]
        return regions, self.emb_cnn_code(pooled)
