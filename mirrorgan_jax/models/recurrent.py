"""LSTM and GRU over padded sequences (the RNN of Eq. 1 and Eq. 6)."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from mirrorgan_jax.models import layers

GATES = {"lstm": 4, "gru": 3}


def _lstm_step(carry, projected, kernel, bias):
    hidden, memory = carry
    gates = projected + (hidden @ kernel + bias[None]).astype(projected.dtype)
    enter, forget, value, leave = jnp.split(gates, 4, axis=-1)
    memory = nn.sigmoid(forget) * memory + nn.sigmoid(enter) * jnp.tanh(value)
    return nn.sigmoid(leave) * jnp.tanh(memory), memory


def _gru_step(carry, projected, kernel, bias):
    (hidden,) = carry
    recurrent = (hidden @ kernel + bias[None]).astype(projected.dtype)
    reset, update, value = jnp.split(projected, 3, axis=-1)
    hidden_reset, hidden_update, hidden_value = jnp.split(recurrent, 3, axis=-1)
    reset = nn.sigmoid(reset + hidden_reset)
    update = nn.sigmoid(update + hidden_update)
    value = jnp.tanh(value + reset * hidden_value)
    return ((1.0 - update) * value + update * hidden,)


_STEPS = {"lstm": _lstm_step, "gru": _gru_step}


class Recurrent(nn.Module):
    """One direction of an LSTM (gates i, f, g, o) or GRU (gates r, z, n).

    Two biases, as PyTorch has them: in the GRU the hidden one of n lies inside
    the product with r, and optimisers see both.
    """

    hidden_dim: int
    cell: str = "lstm"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, length, *, reverse: bool = False, initial=None):
        """Hidden state after every word.

        Args:
          x: [B, T, E] inputs.
          length: [B] number of real words, or None when all are real.
          reverse: start at each sequence's last real word.
          initial: carry to start from; None is zeros.

        Returns:
          outputs [B, T, H], zero at padding, and the final carry: a tuple of
          [B, H] arrays, (hidden, memory) for the LSTM and (hidden,) for the GRU.

        Raises:
          ValueError: the cell is unknown.
        """
        if self.cell not in GATES:
            raise ValueError(f"cell = {self.cell!r} is not one of {sorted(GATES)}")
        width = GATES[self.cell] * self.hidden_dim
        init = layers.symmetric_uniform(1.0 / math.sqrt(self.hidden_dim))

        def parameter(name, *shape):
            return self.param(name, init, shape, self.param_dtype)

        x, input_kernel, input_bias, kernel, bias = nn.dtypes.promote_dtype(
            x,
            parameter("input_kernel", x.shape[-1], width),
            parameter("input_bias", width),
            parameter("hidden_kernel", self.hidden_dim, width),
            parameter("hidden_bias", width),
            dtype=self.dtype,
        )
        wide = jnp.promote_types(x.dtype, jnp.float32)
        projected = x @ input_kernel + layers.aligned(input_bias, x)
        projected = projected.astype(wide).swapaxes(0, 1)
        if initial is None:
            zeros = jnp.zeros((x.shape[0], self.hidden_dim), wide)
            initial = (zeros,) * (2 if self.cell == "lstm" else 1)
        step = _STEPS[self.cell]

        def advance(carry, inputs):
            projected, real = inputs
            low = (carry[0].astype(kernel.dtype), *carry[1:])
            new = step(low, projected, kernel, bias)
            if real is None:
                return new, new[0]
            new = tuple(jnp.where(real, n, o) for n, o in zip(new, carry, strict=True))
            return new, jnp.where(real, new[0], 0.0)

        real = None
        if length is not None:
            real = jnp.arange(x.shape[1])[:, None] < length[None]
            real = real[..., None]  # [T, B, 1]
        carry, outputs = lax.scan(advance, initial, (projected, real), reverse=reverse)
        return outputs.swapaxes(0, 1).astype(x.dtype), carry
