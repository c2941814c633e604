"""ResNet trunk of STREAM's image encoder (paper section 3.3)."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from mirrorgan_jax.models import layers
from mirrorgan_jax.parallel import constraints

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut; the 3x3 one has the stride."""

    width: int
    stride: int = 1
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        """[B, H, W, C] -> [B, H / stride, W / stride, 4 * width]."""

        def conv(y, features, size, stride, name):
            return nn.Conv(
                features,
                (size, size),
                stride,
                padding=size // 2,
                use_bias=False,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )(y)

        def norm(y, name):
            return layers.BatchNorm(
                dtype=self.dtype, param_dtype=self.param_dtype, name=name
            )(y, train=train)

        features = EXPANSION * self.width
        y = nn.relu(norm(conv(x, self.width, 1, 1, "conv1"), "bn1"))
        y = nn.relu(norm(conv(y, self.width, 3, self.stride, "conv2"), "bn2"))
        y = norm(conv(y, features, 1, 1, "conv3"), "bn3")
        if self.stride != 1 or x.shape[-1] != features:
            x = conv(x, features, 1, self.stride, "downsample_conv")
            x = norm(x, "downsample_bn")
        return nn.relu(x + y)


class ResNet(nn.Module):
    """Bottleneck ResNet without its classifier.

    Attributes:
      stage_sizes: blocks of every stage.
      stem_width: channels of the stem.
      widths: inner channels of every stage's blocks; their outputs have 4 times
        as many.
      remat: policy of `layers.remat` for every block.
    """

    stage_sizes: Sequence[int]
    stem_width: int = 64
    widths: Sequence[int] = (64, 128, 256, 512)
    remat: str = "none"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, *, train: bool):
        """Features of images.

        Args:
          images: [B, H, W, 3].
          train: use and update the batch statistics.

        Returns:
          The last stage's map [B, H / 32, W / 32, 4 * widths[-1]], and its mean over
          positions.
        """
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = nn.Conv(
            self.stem_width, (7, 7), 2, padding=3, use_bias=False, name="conv1", **kinds
        )(images)
        x = nn.relu(layers.BatchNorm(name="bn1", **kinds)(x, train=train))
        x = nn.max_pool(constraints.shard_maps(x), (3, 3), (2, 2), ((1, 1), (1, 1)))
        for i, (size, width) in enumerate(
            zip(self.stage_sizes, self.widths, strict=True)
        ):
            for j in range(size):
                stride = 2 if i > 0 and j == 0 else 1
                block = Bottleneck(width, stride, name=f"layer{i + 1}_{j}", **kinds)
                block = layers.remat(block, self.remat)
                x = block(constraints.shard_maps(x), train=train)
        return x, x.mean((1, 2))


def resnet152(*, dtype=None, param_dtype=jnp.float32):
    """The ResNet-152 trunk: 2048 features."""
    return ResNet((3, 8, 36, 3), dtype=dtype, param_dtype=param_dtype)
