"""Image ranges and bilinear resizing (paper section 4.1, inputs of every network)."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from mirrorgan_jax.parallel import constraints


def from_uint8(images):
    """[..., 3] uint8 images -> float32 in [-1, 1]."""
    return images.astype(jnp.float32) / 127.5 - 1


def _weights(source, target, *, align_corners, antialias):
    """[target, source] matrix of bilinear interpolation along one axis."""
    if align_corners:
        at = np.arange(target) * ((source - 1) / max(target - 1, 1))
    else:
        at = (np.arange(target) + 0.5) * (source / target) - 0.5
        at = at if antialias else np.clip(at, 0, source - 1)
    # The triangle widens with the reduction, so that every pixel counts.
    width = max(source / target, 1.0) if antialias else 1.0
    distance = np.abs(at[:, None] - np.arange(source)) / width
    weights = np.maximum(1 - distance, 0)
    return weights / weights.sum(axis=1, keepdims=True)


def resize(images, size, *, align_corners: bool, antialias: bool):
    """Bilinear resize to a square.

    Args:
      images: [B, H, W, C].
      size: side of the result.
      align_corners: corner pixels map onto corner pixels (PyTorch up to 0.3);
        False: half-pixel centres.
      antialias: widen the filter when the image gets smaller.

    Returns:
      [B, size, size, C] in the dtype of `images`; `images` itself if it has that
      size.

    Raises:
      ValueError: antialias with align_corners, which has no meaning.
    """
    if align_corners and antialias:
        raise ValueError("antialias = True: only with align_corners = False")
    height, width = images.shape[1:3]
    if (height, width) == (size, size):
        return images
    options = {"align_corners": align_corners, "antialias": antialias}
    return apply_weights(
        images, _weights(height, size, **options), _weights(width, size, **options)
    )


def apply_weights(images, rows, columns):
    """Images [B, H, W, C] interpolated by matrices [H', H] and [W', W]."""
    dtype = jnp.promote_types(images.dtype, jnp.float32)
    # As matrix products: gathers are slow on TPUs. Their default precision there
    # is bfloat16, which would round the pixels.
    out = jnp.einsum(
        "yh,bhwc,xw->byxc",
        jnp.asarray(rows, dtype),
        images.astype(dtype),
        jnp.asarray(columns, dtype),
        precision=lax.Precision.HIGHEST,
    )
    return out.astype(images.dtype)


def pyramid(images, sizes):
    """Antialiased copies of `images` for the discriminators of all stages.

    Args:
      images: [B, S, S, C], S the largest size.
      sizes: sides of the copies, coarse to fine.

    Returns:
      Tuple of [B, q, q, C], one for each q of `sizes`; `images` itself for S.
    """
    # Rows of a copy need rows that the next device holds: split the copies instead.
    images = constraints.shard_batch(images)
    return tuple(
        constraints.shard_rows(
            resize(images, size, align_corners=False, antialias=True)
        )
        for size in sizes
    )
