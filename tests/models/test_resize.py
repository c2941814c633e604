"""Bilinear resizing against hand-made weights and Pillow."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mirrorgan_jax.models import resize


def images(side, dtype=np.float32):
    return np.random.default_rng(0).random((2, side, side, 3)).astype(dtype)


def test_from_uint8_spans_minus_one_to_one():
    ends = resize.from_uint8(jnp.array([0, 255], jnp.uint8))
    np.testing.assert_array_equal(ends, [-1, 1])


def test_align_corners_keeps_corners():
    x = images(7)
    y = resize.resize(x, 10, align_corners=True, antialias=False)
    np.testing.assert_allclose(y[:, ::9, ::9], x[:, ::6, ::6], atol=1e-6)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [3, 12])
def test_resize_equals_interpolation(align_corners, size):
    x = images(8)
    at = np.arange(size) * 7 / (size - 1)
    if not align_corners:
        at = (np.arange(size) + 0.5) * 8 / size - 0.5
    line = np.apply_along_axis(lambda v: np.interp(at, np.arange(8), v), 1, x)
    expected = np.apply_along_axis(lambda v: np.interp(at, np.arange(8), v), 2, line)
    y = resize.resize(x, size, align_corners=align_corners, antialias=False)
    np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize("size", [16, 9, 50])
def test_antialiased_resize_equals_pillow(size):
    x = images(32)
    bands = [Image.fromarray(x[0, :, :, c]) for c in range(3)]
    expected = [np.array(b.resize((size, size), Image.BILINEAR)) for b in bands]
    y = resize.resize(x, size, align_corners=False, antialias=True)
    np.testing.assert_allclose(y[0], np.stack(expected, -1), atol=1e-5)


def test_resize_keeps_dtype_and_identity():
    x = jnp.asarray(images(8), jnp.bfloat16)
    assert resize.resize(x, 4, align_corners=False, antialias=True).dtype == x.dtype
    assert resize.resize(x, 8, align_corners=True, antialias=False) is x


def test_resize_refuses_antialiased_corners():
    with pytest.raises(ValueError, match="align_corners"):
        resize.resize(images(8), 4, align_corners=True, antialias=True)


def test_pyramid_goes_coarse_to_fine():
    x = images(16)
    levels = resize.pyramid(x, (4, 8, 16))
    assert [level.shape[1] for level in levels] == [4, 8, 16]
    assert levels[-1] is x
    # The filter is one pixel of the result wide on either side: a constant stays.
    flat = resize.pyramid(np.ones((1, 16, 16, 3), np.float32), (4,))[0]
    np.testing.assert_allclose(flat, 1, atol=1e-6)
