"""Sample sheets: what is where, and files that are whole."""

import numpy as np
import pytest
from PIL import Image, ImageFont

from mirrorgan_jax import figures


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
    sheet = figures.sample_grid(stages, ["a bird"] * 5, cell=32)
    for images in stages:
        for image in figures.to_uint8(images):
            assert _count(sheet, image[0, 0]) == 32 * 32


def test_grid_enlarges_coarse_stages_without_smoothing():
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, 0, 0] = (200, 10, 10)
    sheet = figures.sample_grid((image,), ["x"], cell=64)
    assert _count(sheet, (200, 10, 10)) == 32 * 32


def test_grid_puts_real_images_to_the_left():
    real = np.full((2, 8, 8, 3), (10, 200, 10), np.uint8)
    with_real = figures.sample_grid(_stages(2), ["x", "y"], cell=32, real=real)
    without = figures.sample_grid(_stages(2), ["x", "y"], cell=32)
    assert with_real.width > without.width
    xs = np.nonzero((np.asarray(with_real) == (10, 200, 10)).all(-1))[1]
    assert xs.min() == 24 and _count(with_real, (10, 200, 10)) == 2 * 32 * 32


def test_grid_of_sixteen_has_a_sensible_size():
    for sizes in ((16, 32, 64), (64, 128, 256)):
        stages = tuple(np.zeros((16, q, q, 3), np.uint8) for q in sizes)
        sheet = figures.sample_grid(stages, ["this bird is small"] * 16)
        assert 1000 < sheet.width < 2400 and 500 < sheet.height < 3000


def test_captions_are_wrapped_to_the_width():
    font = ImageFont.load_default(size=15)
    text = " ".join(f"word{i}" for i in range(18))
    lines = figures._wrap(text, font, 300)
    assert " ".join(lines) == text and len(lines) > 1
    assert max(font.getlength(line) for line in lines) <= 300
    endless = figures._wrap("word " * 200, font, 200)
    assert len(endless) == 5 and endless[-1].endswith("…")
    (unbroken,) = figures._wrap("w" * 100, font, 200)
    assert unbroken.endswith("…") and font.getlength(unbroken) <= 200


def test_grid_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"4 px.*\[3, q, q, 3\]"):
        figures.sample_grid(_stages(2), ["a", "b", "c"])


def test_colours_are_scaled_from_minus_one_to_one():
    shown = figures.to_uint8(np.array([-1.5, -1, 0, 1, 2]))
    assert shown.tolist() == [0, 0, 128, 255, 255]


def test_png_is_written_whole(tmp_path):
    sheet = figures.sample_grid(_stages(2), ["a", "b"], cell=32)
    figures.write_png(tmp_path / "new" / "grid.png", sheet)
    figures.write_png(tmp_path / "new" / "grid.png", sheet)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["grid.png"]
    with Image.open(tmp_path / "new" / "grid.png") as read:
        np.testing.assert_array_equal(np.asarray(read), np.asarray(sheet))
