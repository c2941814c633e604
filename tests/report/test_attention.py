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


def test_words_are_ranked_by_their_strongest_pixel():
    assert attention.strongest_words(_maps(4), 3, 5).tolist() == [1, 2, 0]
    assert attention.strongest_words(_maps(4), 3, 1).tolist() == [1]
    padded = _maps(4)
    padded[..., 4] = 1.0
    assert 4 not in attention.strongest_words(padded, 3, 5)


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
