"""Sample sheets: what is where, and files that are whole."""

import time

import numpy as np
import pytest
from PIL import Image, ImageFont

from mirrorgan_jax.inference import pictures
from mirrorgan_jax.report import sheets


def _stages(count, sizes=(4, 8, 16)):
    """Stage k of example i is one flat colour that names both."""
    images = []
    for k, size in enumerate(sizes):
        values = np.zeros((count, size, size, 3), np.float32)
        values[..., 0] = 0.5 - 0.25 * k
        values[..., 1] = np.linspace(-1, 1, count)[:, None, None]
        images.append(values)
    return tuple(images)


def _count(sheet, color):
    return int((np.asarray(sheet) == np.asarray(color, np.uint8)).all(-1).sum())


def test_grid_shows_every_stage_of_every_example():
    stages = _stages(5)
    sheet = sheets.sample_grid(stages, ["a bird"] * 5, cell=32)
    for images in stages:
        for image in pictures.to_uint8(images):
            assert _count(sheet, image[0, 0]) == 32 * 32


def test_grid_enlarges_coarse_stages_without_smoothing():
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, 0, 0] = (200, 10, 10)
    sheet = sheets.sample_grid((image,), ["x"], cell=64)
    assert _count(sheet, (200, 10, 10)) == 32 * 32


def test_grid_puts_real_images_to_the_left():
    real = np.full((2, 8, 8, 3), (10, 200, 10), np.uint8)
    with_real = sheets.sample_grid(_stages(2), ["x", "y"], cell=32, real=real)
    without = sheets.sample_grid(_stages(2), ["x", "y"], cell=32)
    assert with_real.width > without.width
    xs = np.nonzero((np.asarray(with_real) == (10, 200, 10)).all(-1))[1]
    assert xs.min() == 24 and _count(with_real, (10, 200, 10)) == 2 * 32 * 32


def test_grid_of_sixteen_has_a_sensible_size():
    for sizes in ((16, 32, 64), (64, 128, 256)):
        stages = tuple(np.zeros((16, q, q, 3), np.uint8) for q in sizes)
        sheet = sheets.sample_grid(stages, ["this bird is small"] * 16)
        assert 1000 < sheet.width < 2400 and 500 < sheet.height < 3000


def _texts(lines):
    return [" ".join(word for word, _ in line) for line in lines]


def test_captions_are_wrapped_to_the_width():
    font = ImageFont.load_default(size=15)
    text = " ".join(f"word{i}" for i in range(18))
    lines = _texts(sheets.wrap(text, font, 300, 5))
    assert " ".join(lines) == text and len(lines) > 1
    assert max(font.getlength(line) for line in lines) <= 300
    endless = _texts(sheets.wrap("word " * 200, font, 200, 5))
    assert len(endless) == 5 and endless[-1].endswith("…")
    assert max(font.getlength(line) for line in endless) <= 200
    (unbroken,) = _texts(sheets.wrap("w" * 100, font, 200, 5))
    assert unbroken.endswith("…") and font.getlength(unbroken) <= 200
    begin = time.perf_counter()
    assert _texts(sheets.wrap("w" * 9000, font, 200, 5)) == [unbroken]
    assert time.perf_counter() - begin < 2  # not as many steps as there are letters


def test_grid_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"4 px.*\[3, q, q, 3\]"):
        sheets.sample_grid(_stages(2), ["a", "b", "c"])


def test_png_is_written_whole(tmp_path):
    sheet = sheets.sample_grid(_stages(2), ["a", "b"], cell=32)
    sheets.write_png(tmp_path / "new" / "grid.png", sheet)
    sheets.write_png(tmp_path / "new" / "grid.png", sheet)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["grid.png"]
    with Image.open(tmp_path / "new" / "grid.png") as read:
        np.testing.assert_array_equal(np.asarray(read), np.asarray(sheet))


def test_png_tells_what_it_was_given(tmp_path):
    sheet = sheets.sample_grid(_stages(1), ["a"], cell=32)
    sheets.write_png(tmp_path / "one.png", sheet, {"caption": "a réd bird →"})
    with Image.open(tmp_path / "one.png") as read:
        read.load()
        assert read.text == {"caption": "a réd bird →"}


def test_table_places_rows_and_columns():
    colors = [[(200, 10, 10), (10, 200, 10)], [(10, 10, 200)]]
    rows = [
        [sheets.Cell(np.full((4, 4, 3), c, np.uint8), ("text",)) for c in row]
        for row in colors
    ]
    sheet = sheets.table(
        rows, cell=64, labels=["one", "two"], headings=["left", "right"], title="t"
    )
    places = {}
    for color in (c for row in colors for c in row):
        assert _count(sheet, color) == 64 * 64
        hit = (np.asarray(sheet) == np.array(color, np.uint8)).all(-1)
        places[color] = [int(axis.min()) for axis in np.nonzero(hit)]
    first, right, below = places.values()
    assert first[0] == right[0] and right[1] >= first[1] + 64
    assert below[0] > first[0] + 64 and below[1] == first[1]
    # The margins stay empty.
    edge = np.asarray(sheet)
    assert (edge[:24] == 255).all() and (edge[:, :24] == 255).all()
    assert (edge[:, -24:] == 255).all() and (edge[-24:] == 255).all()
    with pytest.raises(ValueError, match="no cells"):
        sheets.table([], cell=64)


def test_sheets_are_stacked_without_loss():
    one = sheets.sample_grid(_stages(1), ["a"], cell=32)
    two = sheets.sample_grid(_stages(3), ["a"] * 3, cell=32)
    both = sheets.stacked([one, two])
    assert both.size == (max(one.width, two.width), one.height + two.height)
    np.testing.assert_array_equal(np.asarray(both)[one.height :], np.asarray(two))
