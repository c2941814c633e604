"""Convolutions, batch norm and blocks of G and D (section 3.2, after AttnGAN)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mirrorgan_jax.models import convolution, orthogonal
from mirrorgan_jax.parallel import constraints


def symmetric_uniform(limit):
    """Initialiser of values in [-limit, limit)."""

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return init


def scale_init(key, shape, dtype=jnp.float32):
    """Initialiser N(1, 0.02) of the batch-norm scales of G and D."""
    return 1.0 + 0.02 * jax.random.normal(key, shape, dtype)


def glu(x):
    """[..., 2C] -> [..., C]: the first half gated by the second."""
    value, gate = jnp.split(x, 2, axis=-1)
    return value * nn.sigmoid(gate)


def aligned(vector, x):
    """[C] -> [1, ..., 1, C], with as many axes as `x` [..., C] has."""
    return jnp.expand_dims(vector, range(x.ndim - 1))


def leaky_relu(x):
    """Leaky ReLU of slope 0.2."""
    return nn.leaky_relu(x, 0.2)


def _is_product(primitive, *unused, **parameters):
    return primitive.name in ("conv_general_dilated", "dot_general")


_SAVED = {
    "blocks": jax.checkpoint_policies.nothing_saveable,
    "convolutions": _is_product,
}


def remat(module, policy):
    """A block that the backward pass computes again.

    Args:
      module: called as `module(*arrays, train=...)`.
      policy: "none" keeps everything, "convolutions" the results of convolutions and
        products, "blocks" nothing but the inputs.

    Returns:
      A function called like the module.

    Raises:
      ValueError: an unknown policy.
    """
    if policy == "none":
        return module
    if policy not in _SAVED:
        raise ValueError(f"remat = {policy!r}: one of {['none', *sorted(_SAVED)]}")

    def call(*args, train):
        again = nn.remat(lambda m, *a: m(*a, train=train), policy=_SAVED[policy])
        return again(module, *args)

    return call


class BatchNorm(nn.Module):
    """Batch norm over all but the last axis, with PyTorch's running statistics.

    `train` normalises with the batch's mean and biased variance, and moves the
    running ones (unbiased variance) where `batch_stats` is mutable:
    new = (1 - momentum) * old + momentum * batch.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5
    scale_init: Any = nn.initializers.ones
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        """[..., C] -> [..., C]."""
        shape = x.shape[-1:]
        scale = self.param("scale", self.scale_init, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        stored = jnp.promote_types(self.param_dtype, jnp.float32)
        old_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, stored)
        old_var = self.variable("batch_stats", "var", jnp.ones, shape, stored)
        dtype = self.dtype or jnp.result_type(x, scale)
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if train:
            axes = tuple(range(x.ndim - 1))
            mean = wide.mean(axes)
            var = jnp.square(wide - aligned(mean, wide)).mean(axes)
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                count = x.size // x.shape[-1]
                unbiased = var * (count / max(count - 1, 1))
                for old, new in ((old_mean, mean), (old_var, unbiased)):
                    kept = (1.0 - self.momentum) * old.value
                    old.value = (kept + self.momentum * new).astype(kept.dtype)
        else:
            mean, var = old_mean.value, old_var.value
        factor = scale * lax.rsqrt(var + self.epsilon)
        x = (wide - aligned(mean, wide)) * aligned(factor, wide)
        return (x + aligned(bias, wide)).astype(dtype)


class KernelModule(nn.Module):
    """Owner of a convolution kernel (kh, kw, I, O), spectrally normalised or not.

    Spectral norm: one power iteration a training call from the left vector `u`
    [O] kept in `batch_stats`; the gradient flows through sigma with both singular
    vectors held fixed.
    """

    use_bias: bool = False
    spectral: bool = False
    kernel_init: Any = orthogonal.orthogonal
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def _parameters(self, x, shape, train):
        """(x, kernel, bias or None) in the computing precision."""
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        if self.spectral:
            kernel = kernel / self._sigma(kernel.reshape(-1, shape[-1]), train)
        bias = None
        if self.use_bias:
            zeros = nn.initializers.zeros
            bias = self.param("bias", zeros, shape[-1:], self.param_dtype)
        return nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)

    def _sigma(self, matrix, train):
        """Largest singular value of [kh*kw*I, O], estimated."""
        matrix = matrix.astype(jnp.promote_types(matrix.dtype, jnp.float32))

        def start():
            key = self.make_rng("params")
            return jax.random.normal(key, matrix.shape[-1:], matrix.dtype)

        state = self.variable("batch_stats", "u", start)
        u = state.value / jnp.sqrt(jnp.sum(state.value**2) + 1e-12)
        image = lax.stop_gradient(matrix) @ u
        v = image / jnp.sqrt(jnp.sum(image**2) + 1e-12)
        back = v @ matrix
        if train:
            u = lax.stop_gradient(back / jnp.sqrt(jnp.sum(back**2) + 1e-12))
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                state.value = u.astype(state.value.dtype)
        return back @ u


class Conv(KernelModule):
    """Convolution [B, H, W, I] -> [B, H / stride, W / stride, features].

    One pixel of zero padding on every side.
    """

    features: int = 0
    size: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        shape = (self.size, self.size, x.shape[-1], self.features)
        x, kernel, bias = self._parameters(x, shape, train)
        y = convolution.convolve(x, kernel, self.stride)
        return y if bias is None else y + aligned(bias, y)


class Pointwise(KernelModule):
    """1x1 convolution, on [..., I] of any rank: a matrix product."""

    features: int = 0

    @nn.compact
    def __call__(self, x):
        shape = (1, 1, x.shape[-1], self.features)
        x, kernel, bias = self._parameters(x, shape, False)
        y = x @ kernel[0, 0]
        return y if bias is None else y + aligned(bias, y)


class FullConv(KernelModule):
    """Convolution that covers its whole input: [B, H, W, I] -> [B, features]."""

    features: int = 1

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        shape = (*x.shape[1:], self.features)
        x, kernel, bias = self._parameters(x, shape, train)
        y = x.reshape(x.shape[0], -1) @ kernel.reshape(-1, self.features)
        return y if bias is None else y + aligned(bias, y)


# How a 3-tap kernel on a nearest x2 upsampled line acts on the line itself: for
# output phase p (even, odd), input tap t (left, right) and kernel tap k.
_PHASES = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)


def upsample_conv(x, kernel):
    """3x3 convolution of the nearest x2 upsampled input, without upsampling it.

    Each of the four phases of the output is a 2x2 convolution of the input, so
    that 16 products do the work of 36.

    Args:
      x: [B, H, W, I].
      kernel: [3, 3, I, O].

    Returns:
      [B, 2H, 2W, O].
    """
    batch, height, width, _ = x.shape
    phases = jnp.asarray(_PHASES, kernel.dtype)
    folded = jnp.einsum("ptk,qsl,klio->pqtsio", phases, phases, kernel)
    # The kernels of odd rows (columns) start at the pixel, the others before it.
    pads = ((1, 0), (0, 1))
    rows = [
        jnp.stack(
            [
                convolution.convolve(x, folded[p, q], 1, (pads[p], pads[q]))
                for q in (0, 1)
            ],
            3,
        )
        for p in (0, 1)
    ]
    return jnp.stack(rows, 2).reshape(batch, 2 * height, 2 * width, -1)


class UpConv(KernelModule):
    """Nearest x2, then a 3x3 convolution: [B, H, W, I] -> [B, 2H, 2W, features]."""

    features: int = 0

    @nn.compact
    def __call__(self, x):
        shape = (3, 3, x.shape[-1], self.features)
        x, kernel, _ = self._parameters(x, shape, False)
        return upsample_conv(x, kernel)


class UpBlock(nn.Module):
    """Nearest x2, 3x3 convolution, batch norm, GLU."""

    features: int
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        """[B, H, W, I] -> [B, 2H, 2W, features]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = UpConv(features=2 * self.features, name="conv", **types)(x)
        x = BatchNorm(scale_init=scale_init, name="norm", **types)(x, train=train)
        return constraints.shard_rows(glu(x))


class ResidualBlock(nn.Module):
    """x + BN(conv(GLU(BN(conv(x)))))."""

    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        """[B, H, W, C] -> [B, H, W, C]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = {"scale_init": scale_init, **types}
        width = x.shape[-1]
        y = Conv(features=2 * width, name="conv_0", **types)(x)
        y = glu(BatchNorm(name="norm_0", **norm)(y, train=train))
        y = Conv(features=width, name="conv_1", **types)(y)
        return x + BatchNorm(name="norm_1", **norm)(y, train=train)
