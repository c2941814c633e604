"""Convolutions with the gradients that a CPU computes fast.

XLA's CPU backend computes a kernel's gradient as a convolution whose window is the
whole map, at a third of the speed of a matrix product, and input gradients of large
kernels on small maps at a tenth. There both are products of patches; elsewhere XLA's
own are left.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from mirrorgan_jax.parallel import constraints

# With fewer output channels, such as an image's three, patches do not pay.
_FEWEST_FEATURES = 8


def _xla(x, kernel, stride, padding):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _xla_input_gradient(x, kernel, dy, stride, padding):
    return jax.vjp(lambda x: _xla(x, kernel, stride, padding), x)[1](dy)[0]


def _xla_kernel_gradient(x, kernel, dy, stride, padding):
    return jax.vjp(lambda k: _xla(x, k, stride, padding), kernel)[1](dy)[0]


def _line(tap, count, stride):
    """What a tap sees along an axis that has so many outputs."""
    return slice(tap, tap + stride * (count - 1) + 1, stride)


def _row_patches(x, kernel, shape, stride, padding):
    """[B * H' * W', kw * I] for each row of the kernel, of [B, H', W', O]."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = kernel.shape[:2]
    wide = [x[:, :, _line(tap, shape[2], stride)] for tap in range(columns)]
    wide = jnp.concatenate(wide, -1)
    return [
        wide[:, _line(tap, shape[1], stride)].reshape(-1, wide.shape[-1])
        for tap in range(rows)
    ]


def _patch_kernel_gradient(x, kernel, dy, stride, padding):
    outputs = dy.reshape(-1, dy.shape[-1])
    patches = _row_patches(x, kernel, dy.shape, stride, padding)
    return jnp.stack([patch.T @ outputs for patch in patches]).reshape(kernel.shape)


def _patch_input_gradient(x, kernel, dy, stride, padding):
    height, width = (
        size + before + after
        for size, (before, after) in zip(x.shape[1:3], padding, strict=True)
    )
    batch, rows, columns, features = dy.shape
    taps = kernel.reshape(-1, features) @ dy.reshape(-1, features).T
    taps = taps.reshape(*kernel.shape[:3], batch, rows, columns)
    total, zero = 0, jnp.zeros((), taps.dtype)
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            spread = (
                (tap, size - tap - stride * (count - 1) - 1, stride - 1)
                for tap, size, count in ((i, height, rows), (j, width, columns))
            )
            total += lax.pad(taps[i, j], zero, ((0, 0, 0), (0, 0, 0), *spread))
    (top, _), (left, _) = padding
    inner = total[:, :, top : top + x.shape[1], left : left + x.shape[2]]
    return inner.transpose(1, 2, 3, 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x, kernel, stride=1, padding=((1, 1), (1, 1))):
    """Convolution with zero padding.

    Args:
      x: [B, H, W, I].
      kernel: [kh, kw, I, O].
      stride: of both axes.
      padding: (before, after) of H and W.

    Returns:
      [B, H', W', O].
    """
    return _xla(x, kernel, stride, padding)


def _forward(x, kernel, stride, padding):
    return convolve(x, kernel, stride, padding), (x, kernel)


def _backward(stride, padding, kept, dy):
    x, kernel = kept
    of_x, of_kernel = _xla_input_gradient, _xla_kernel_gradient
    # Patches of rows that lie on several devices would be halos on halos.
    if constraints.platform() == "cpu" and not constraints.splits_rows():
        # The kernel is larger than what it looks at.
        large = dy.size // dy.shape[-1] < dy.shape[-1]
        if large:
            of_x = _patch_input_gradient
        if large or (stride == 1 and dy.shape[-1] >= _FEWEST_FEATURES):
            of_kernel = _patch_kernel_gradient
    return (
        of_x(x, kernel, dy, stride, padding),
        of_kernel(x, kernel, dy, stride, padding),
    )


convolve.defvjp(_forward, _backward)
