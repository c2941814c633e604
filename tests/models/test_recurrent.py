"""LSTM and GRU over padded sequences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mirrorgan_jax.models import recurrent

CELLS = ("lstm", "gru")


def make(cell):
    x = jax.random.normal(jax.random.key(1), (3, 6, 5))
    module = recurrent.Recurrent(4, cell)
    return module, module.init(jax.random.key(0), x, None), x


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_padding_has_no_influence(cell, reverse):
    module, variables, x = make(cell)
    length = jnp.array([6, 4, 1])
    outputs, carry = module.apply(variables, x, length, reverse=reverse)
    for b, n in enumerate(length):
        alone, last = module.apply(variables, x[b : b + 1, :n], None, reverse=reverse)
        np.testing.assert_allclose(outputs[b, :n], alone[0], atol=1e-6)
        assert not np.any(outputs[b, n:])
        for whole, part in zip(carry, last, strict=True):
            np.testing.assert_allclose(whole[b], part[0], atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_final_carry_continues_the_sequence(cell):
    module, variables, x = make(cell)
    whole, end = module.apply(variables, x, None)
    first, carry = module.apply(variables, x[:, :2], None)
    second, last = module.apply(variables, x[:, 2:], None, initial=carry)
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), whole, atol=1e-6)
    for a, b in zip(end, last, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_parameters_start_within_the_inverse_root_of_the_width(cell):
    _, variables, _ = make(cell)
    gates = recurrent.GATES[cell]
    shapes = jax.tree.map(jnp.shape, variables["params"])
    assert shapes == {
        "input_kernel": (5, 4 * gates),
        "hidden_kernel": (4, 4 * gates),
        "input_bias": (4 * gates,),
        "hidden_bias": (4 * gates,),
    }
    values = jnp.concatenate([p.ravel() for p in jax.tree.leaves(variables)])
    assert 0.45 < float(values.max()) <= 0.5
    assert -0.5 <= float(values.min()) < -0.45


def test_unknown_cell_is_refused():
    with pytest.raises(ValueError, match="'rnn' is not one of"):
        recurrent.Recurrent(4, "rnn").init(
            jax.random.key(0), jnp.zeros((1, 2, 3)), None
        )
