"""Convolutions whose gradients a CPU computes as products of patches."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mirrorgan_jax.models import convolution
from mirrorgan_jax.parallel import constraints


def _plain(x, kernel, stride, padding):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _arrays(shape, features, size):
    numbers = np.random.default_rng(0)
    kernel = numbers.normal(size=(size, size, shape[-1], features))
    return jnp.asarray(numbers.normal(size=shape)), jnp.asarray(kernel)


# Maps, output channels, side of the kernel, stride and padding: kernels larger than
# what they look at, small ones, an image's three channels, unequal padding.
_CASES = {
    "large kernel": ((2, 4, 4, 8), 64, 3, 1, ((1, 1), (1, 1))),
    "large strided kernel": ((2, 8, 8, 4), 64, 4, 2, ((1, 1), (1, 1))),
    "small kernel": ((2, 8, 6, 3), 16, 3, 1, ((1, 1), (1, 1))),
    "small strided kernel": ((2, 8, 8, 4), 8, 4, 2, ((1, 1), (1, 1))),
    "three channels": ((2, 8, 8, 4), 3, 3, 1, ((1, 1), (1, 1))),
    "one phase": ((2, 6, 8, 4), 16, 2, 1, ((0, 1), (1, 0))),
    "odd strided map": ((1, 7, 5, 4), 64, 3, 2, ((1, 1), (1, 0))),
}


@pytest.mark.parametrize("case", _CASES)
def test_gradients_are_those_of_the_plain_convolution(case):
    shape, features, size, stride, padding = _CASES[case]
    with jax.enable_x64(True):
        x, kernel = _arrays(shape, features, size)

        def gradients(form):
            def loss(x, kernel):
                return jnp.sum(jnp.sin(form(x, kernel, stride, padding)))

            return jax.value_and_grad(loss, (0, 1))(x, kernel)

        own = jax.jit(functools.partial(gradients, convolution.convolve))()
        for mine, plain in zip(
            jax.tree.leaves(own), jax.tree.leaves(gradients(_plain)), strict=True
        ):
            np.testing.assert_allclose(mine, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", ["large kernel", "small kernel"])
def test_penalties_take_gradients_of_gradients(case):
    shape, features, size, stride, padding = _CASES[case]
    with jax.enable_x64(True):
        x, kernel = _arrays(shape, features, size)

        def second(form):
            def slope(x, kernel):
                found = jax.grad(
                    lambda x: jnp.sum(jnp.sin(form(x, kernel, stride, padding)))
                )(x)
                return jnp.sum(found**2)

            return jax.grad(slope, (0, 1))(x, kernel)

        for mine, plain in zip(
            second(convolution.convolve), second(_plain), strict=True
        ):
            np.testing.assert_allclose(mine, plain, rtol=1e-9, atol=1e-9)


def test_large_windows_are_gone_on_a_cpu_and_left_to_others(monkeypatch):
    x, kernel = (jnp.float32(a) for a in _arrays((2, 32, 32, 8), 16, 3))

    def convolutions():
        loss = jax.grad(lambda k: jnp.sum(jnp.sin(convolution.convolve(x, k))))
        return jax.jit(loss).lower(kernel).as_text().count("stablehlo.convolution")

    # On a CPU that of the values is left; elsewhere the gradient is one more.
    assert convolutions() == 1
    with monkeypatch.context() as patch:
        patch.setattr(constraints, "splits_rows", lambda: True)
        assert convolutions() == 2
    monkeypatch.setattr(constraints, "platform", lambda: "tpu")
    assert convolutions() == 2


def test_the_platform_is_that_of_the_mesh_in_use(monkeypatch):
    assert constraints.platform() == jax.default_backend()
    chip = types.SimpleNamespace(platform="tpu")
    mesh = types.SimpleNamespace(abstract_device=chip, empty=True)
    monkeypatch.setattr(jax.sharding, "get_abstract_mesh", lambda: mesh)
    assert constraints.platform() == "tpu"
