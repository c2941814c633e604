"""Convolutions, batch norm and spectral norm against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mirrorgan_jax.models import convolution, layers


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_glu_gates_the_first_half():
    x = normal(0, 2, 6)
    expected = x[:, :3] / (1 + np.exp(-x[:, 3:]))
    np.testing.assert_allclose(layers.glu(x), expected, rtol=1e-5)


def test_upsample_conv_equals_convolution_of_the_upsampled_input():
    x, kernel, pull = (
        normal(0, 2, 4, 6, 3),
        normal(1, 3, 3, 3, 5),
        normal(2, 2, 8, 12, 5),
    )

    def direct(x, kernel):
        return convolution.convolve(x.repeat(2, 1).repeat(2, 2), kernel)

    actual, backward = jax.vjp(layers.upsample_conv, x, kernel)
    expected, expected_backward = jax.vjp(direct, jnp.asarray(x), kernel)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    for a, e in zip(backward(pull), expected_backward(pull), strict=True):
        np.testing.assert_allclose(a, e, atol=1e-4)


def test_batch_norm_keeps_unbiased_running_variance():
    x = 3 + 2 * normal(0, 5, 2, 3)
    module = layers.BatchNorm(momentum=0.25)
    variables = module.init(jax.random.key(0), x, train=True)
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros(3))
    y, state = module.apply(variables, x, train=True, mutable=["batch_stats"])
    flat = x.reshape(-1, 3)
    np.testing.assert_allclose(
        state["batch_stats"]["var"], 0.75 + 0.25 * flat.var(0, ddof=1), rtol=1e-5
    )
    np.testing.assert_allclose(
        state["batch_stats"]["mean"], 0.25 * flat.mean(0), rtol=1e-5
    )
    expected = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
    np.testing.assert_allclose(y.reshape(-1, 3), expected, atol=1e-5)


def test_batch_norm_in_low_precision_computes_wide_and_returns_narrow():
    x = jnp.asarray(100 + normal(0, 64, 2), jnp.bfloat16)
    module = layers.BatchNorm(dtype=jnp.bfloat16)
    variables = module.init(jax.random.key(0), x, train=False)
    y, state = module.apply(variables, x, train=True, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert state["batch_stats"]["var"].dtype == jnp.float32
    assert abs(float(y.astype(jnp.float32).std()) - 1) < 0.1


def test_spectral_norm_reaches_unit_norm_and_moves_only_in_training():
    x = normal(0, 1, 4, 4, 3)
    module = layers.Conv(features=8, spectral=True, kernel_init=jax.random.normal)
    variables = module.init(jax.random.key(0), x)
    start = variables["batch_stats"]["u"]
    for _ in range(30):
        _, state = module.apply(variables, x, train=True, mutable=["batch_stats"])
        variables = {**variables, **state}
    assert np.abs(variables["batch_stats"]["u"] - start).max() > 0.01
    _, state = module.apply(variables, x, train=False, mutable=["batch_stats"])
    u = variables["batch_stats"]["u"]
    np.testing.assert_array_equal(state["batch_stats"]["u"], u)
    kernel = np.asarray(variables["params"]["kernel"])
    sigma = np.linalg.norm(kernel.reshape(-1, 8), ord=2)
    expected = convolution.convolve(x, kernel / sigma)
    actual = module.apply(variables, x, train=False)
    np.testing.assert_allclose(actual, expected, rtol=1e-2, atol=1e-3)


def test_spectral_norm_gradient_is_orthogonal_to_the_kernel():
    x = normal(0, 1, 4, 4, 3)
    module = layers.Conv(features=8, spectral=True)
    variables = module.init(jax.random.key(0), x)
    for _ in range(30):
        _, state = module.apply(variables, x, train=True, mutable=["batch_stats"])
        variables = {**variables, **state}

    def loss(params):
        y = module.apply({**variables, "params": params}, x, train=False)
        return jnp.sum(y**3)

    # The normalised kernel does not depend on the kernel's size.
    kernel = variables["params"]["kernel"]
    grad = jax.grad(loss)(variables["params"])["kernel"]
    scale = float(jnp.linalg.norm(grad) * jnp.linalg.norm(kernel))
    assert scale > 0
    assert abs(float(jnp.vdot(grad, kernel))) < 1e-3 * scale


def test_residual_block_adds_to_its_input():
    x = normal(0, 2, 4, 4, 3)
    module = layers.ResidualBlock()
    variables = module.init(jax.random.key(0), x, train=False)
    assert np.abs(module.apply(variables, x, train=False) - x).max() > 0.1
    # Without what the last norm lets through nothing but the input is left.
    last = jax.tree.map(jnp.zeros_like, variables["params"]["norm_1"])
    variables = {**variables, "params": {**variables["params"], "norm_1": last}}
    np.testing.assert_array_equal(module.apply(variables, x, train=False), x)


@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 5, 3)])
def test_pointwise_is_a_product_over_the_last_axis(shape):
    x = normal(0, *shape)
    module = layers.Pointwise(features=7)
    variables = module.init(jax.random.key(0), x)
    kernel = variables["params"]["kernel"]
    assert kernel.shape == (1, 1, 3, 7)
    np.testing.assert_allclose(
        module.apply(variables, x), x @ np.asarray(kernel)[0, 0], atol=1e-5
    )


def test_full_conv_is_the_valid_convolution():
    x = normal(0, 2, 4, 4, 3)
    module = layers.FullConv(features=2, use_bias=True)
    variables = module.init(jax.random.key(0), x)
    kernel = variables["params"]["kernel"]
    expected = convolution.convolve(x, kernel, 1, ((0, 0), (0, 0)))[:, 0, 0]
    np.testing.assert_allclose(module.apply(variables, x), expected, atol=1e-5)
