"""Heat maps: colours in order, words by their strongest pixel, whole sheets."""

import numpy as np
import pytest

from mirrorgan_jax.report import attention, sheets

WORDS = ["a", "red", "bird"]


def _maps(size, num_words=5):
    """Word maps that look at "red" most, then "bird", then "a"; two are padding."""
    maps = np.zeros((size, size, num_words), np.float32)
    maps[..., 0], maps[..., 1], maps[..., 2] = 0.2, 0.3, 0.5
    maps[0, 0, :3] = (0.05, 0.9, 0.05)
    return maps


def test_colours_get_lighter_with_the_value():
    shown = attention.heat_colors(np.linspace(0, 1, 50)).astype(float)
    lightness = shown @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) > 0).all()
    assert lightness[-1] - lightness[0] > 150
    np.testing.assert_array_equal(attention.heat_colors([-1, 2]), shown[[0, -1]])


def test_overlay_is_lightest_where_the_weight_is():
    weights = np.zeros((4, 4))
    weights[3, 0] = 0.2
    image = np.zeros((8, 8, 3), np.float32)
    shown = attention.overlay(image, weights)
    assert shown.shape == (8, 8, 3) and shown.dtype == np.uint8
    light = shown.astype(int).sum(-1)
    # Coarse pixels stay what they are: two by two here.
    assert np.argwhere(light == light.max()).tolist() == [
        [6, 0], [6, 1], [7, 0], [7, 1],
    ]  # fmt: skip
    flat = attention.overlay(image, np.full((4, 4), 0.3))
    np.testing.assert_array_equal(flat, np.broadcast_to(shown[0, 0], flat.shape))


def test_overlay_keeps_the_image_visible():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = 255
    shown = attention.overlay(image, np.zeros((4, 4))).astype(int)
    assert (shown[:, 4:] - shown[:, :4] > 60).all()


def test_words_are_ranked_by_their_strongest_pixel():
    assert attention.strongest_words(_maps(4), 3, 5).tolist() == [1, 2, 0]
    assert attention.strongest_words(_maps(4), 3, 1).tolist() == [1]
    padded = _maps(4)
    padded[..., 4] = 1.0
    assert 4 not in attention.strongest_words(padded, 3, 5)


def test_sentence_focus_tells_apart_what_the_mean_does_not():
    weights = np.full((2, 2, 4), 0.25)
    weights[0, 1] = (0, 0, 1, 0)
    np.testing.assert_allclose(weights.mean(-1), 0.25)
    np.testing.assert_array_equal(
        attention.sentence_focus(weights), [[0.25, 1], [0.25, 0.25]]
    )


def _said(cells):
    return [
        " ".join(word for p in cell.paragraphs for word, _ in sheets.coloured(p))
        for cell in cells
    ]


def test_maps_name_the_word_and_its_range():
    image = np.zeros((8, 8, 3), np.float32)
    cells = attention.map_cells(image, _maps(4), np.full((4, 4, 2), 0.5), WORDS, 2)
    assert _said(cells) == [
        "sentence 0.50 to 0.50", "red 0.30 to 0.90", "bird 0.05 to 0.50",
    ]  # fmt: skip


def _count(sheet, color):
    return int((np.asarray(sheet) == np.asarray(color, np.uint8)).all(-1).sum())


def test_stages_sheet_has_a_row_a_stage():
    colors = [(200, 10, 10), (10, 200, 10), (10, 10, 200)]
    images = [
        np.full((q, q, 3), c, np.uint8) for q, c in zip((4, 8, 16), colors, strict=True)
    ]
    sentence = [np.full((q, q, 4), 0.25) for q in (4, 8)]
    both = attention.stages_sheet(
        images, [_maps(4), _maps(8)], sentence, WORDS, title="a red bird"
    )
    for color in colors:
        assert _count(both, color) == 128 * 128
    images_only = attention.stages_sheet(
        images, [None, None], [None, None], WORDS, title="a red bird"
    )
    assert both.height > images_only.height + 2 * 128
    without = attention.stages_sheet(
        images, [_maps(4), _maps(8)], [None, None], WORDS, title="a red bird"
    )
    # Three words a row, with the sentence's map a fourth picture.
    assert both.width >= without.width + 128


def test_swap_sheet_has_a_column_a_caption():
    images = np.stack([np.full((16, 16, 3), c, np.uint8) for c in (10, 90, 200)])
    maps = np.stack([_maps(8)] * 3)
    sheet = attention.swap_sheet(images, maps, [WORDS] * 3, ["a"] * 3)
    for value in (10, 90, 200):
        assert _count(sheet, (value,) * 3) == 128 * 128
    bare = attention.swap_sheet(images, None, [WORDS] * 3, ["a"] * 3)
    assert sheet.height > bare.height + 2 * 128 and sheet.width == bare.width


def test_changed_words_are_marked():
    marked = attention.changed_words("a red bird", "a blue bird")
    assert [word for word, color in marked if color != sheets.INK] == ["blue"]
    assert " ".join(word for word, _ in marked) == "a blue bird"
    with pytest.raises(ValueError):
        attention.changed_words("a red bird", "bird")
