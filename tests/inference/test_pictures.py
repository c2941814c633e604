"""Arrays as pictures: greys, heat maps in order, overlays."""

import numpy as np

from mirrorgan_jax.inference import pictures


def test_colours_get_lighter_with_the_value():
    shown = pictures.heat_colors(np.linspace(0, 1, 50)).astype(float)
    lightness = shown @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) > 0).all()
    assert lightness[-1] - lightness[0] > 150
    np.testing.assert_array_equal(pictures.heat_colors([-1, 2]), shown[[0, -1]])


def test_overlay_is_lightest_where_the_weight_is():
    weights = np.zeros((4, 4))
    weights[3, 0] = 0.2
    image = np.zeros((8, 8, 3), np.float32)
    shown = pictures.overlay(image, weights)
    assert shown.shape == (8, 8, 3) and shown.dtype == np.uint8
    light = shown.astype(int).sum(-1)
    # Coarse pixels stay what they are: two by two here.
    assert np.argwhere(light == light.max()).tolist() == [
        [6, 0], [6, 1], [7, 0], [7, 1],
    ]  # fmt: skip
    flat = pictures.overlay(image, np.full((4, 4), 0.3))
    np.testing.assert_array_equal(flat, np.broadcast_to(shown[0, 0], flat.shape))


def test_overlay_keeps_the_image_visible():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = 255
    shown = pictures.overlay(image, np.zeros((4, 4))).astype(int)
    assert (shown[:, 4:] - shown[:, :4] > 60).all()


def test_sentence_focus_tells_apart_what_the_mean_does_not():
    weights = np.full((2, 2, 4), 0.25)
    weights[0, 1] = (0, 0, 1, 0)
    np.testing.assert_allclose(weights.mean(-1), 0.25)
    np.testing.assert_array_equal(
        pictures.sentence_focus(weights), [[0.25, 1], [0.25, 0.25]]
    )


def test_colours_are_scaled_from_minus_one_to_one():
    shown = pictures.to_uint8(np.array([-1.5, -1, 0, 1, 2]))
    assert shown.tolist() == [0, 0, 128, 255, 255]
