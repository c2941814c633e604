"""Orthogonal kernels: orthonormal, and those that jax's QR gives for the same key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mirrorgan_jax.models import orthogonal


@pytest.mark.parametrize(
    "shape", [(4, 4, 16, 32), (3, 3, 64, 8), (1, 1, 40, 32), (12, 96), (5, 5), (64, 3)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_are_orthonormal_and_those_of_qr(shape, dtype):
    with jax.enable_x64(dtype == "float64"):
        key = jax.random.key(3)
        kernel = orthogonal.orthogonal(key, shape, jnp.dtype(dtype))
        assert kernel.shape == shape and kernel.dtype == dtype
        expected = jax.nn.initializers.orthogonal()(key, shape, jnp.dtype(dtype))
    tight = {"float32": 3e-6, "float64": 1e-13}[dtype]
    np.testing.assert_allclose(kernel, expected, atol=tight)
    matrix = np.asarray(kernel, np.float64).reshape(-1, shape[-1])
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), atol=tight)
