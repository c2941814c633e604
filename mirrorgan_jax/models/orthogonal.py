"""Orthogonal kernels without the QR decompositions that take minutes on a CPU."""

import math

import jax
import jax.numpy as jnp
from jax import lax

# So much longer than it is wide a random matrix is well conditioned, and the Cholesky
# factor of its Gram matrix is as good as the R of a QR decomposition.
_TALL = 2


def _by_cholesky(tall):
    """The Q of the decomposition tall = Q R whose R has a positive diagonal.

    The second round takes out what rounding has left in the first.
    """
    for _ in range(2):
        gram = jnp.matmul(tall.T, tall, precision=lax.Precision.HIGHEST)
        upper = jnp.linalg.cholesky(gram, upper=True)
        tall = lax.linalg.triangular_solve(upper, tall, left_side=False, lower=False)
    return tall


def orthogonal(key, shape, dtype=jnp.float32):
    """Initialiser of kernels [..., I, O] with orthonormal columns, or rows.

    A uniformly random orthogonal matrix, as `jax.nn.initializers.orthogonal` gives it
    for the same key, but for rounding.

    Args:
      key: of the random numbers.
      shape: of the kernel; all axes but the last make its rows.
      dtype: of the kernel, float32 or float64.
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    long, short = max(rows, columns), min(rows, columns)
    if long < _TALL * short:
        return jax.random.orthogonal(key, rows, (), dtype, columns).reshape(shape)
    found = _by_cholesky(jax.random.normal(key, (long, short), dtype))
    return (found if rows >= columns else found.T).reshape(shape)
