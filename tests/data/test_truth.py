"""Real images of a folder beside generated ones: centre squares, in order."""

import pytest
from PIL import Image

from mirrorgan_jax.cli import figures


def _truth(folder, count, size=(40, 24)):
    folder.mkdir()
    for number in range(count):
        color = (10 * number, 20, 30)
        Image.new("RGB", size, color).save(folder / f"{number:02d}.png")
    return folder


def test_truth_is_cut_to_squares_in_order(tmp_path):
    folder = _truth(tmp_path / "real", 3)
    wide = Image.new("RGB", (60, 20), (200, 0, 0))
    wide.paste((0, 200, 0), (20, 0, 40, 20))
    wide.save(folder / "03.jpg", quality=95)
    images = figures.read_truth(folder, 4, 16)
    assert images.shape == (4, 16, 16, 3)
    assert images[:3, 0, 0, 0].tolist() == [0, 10, 20]
    # The middle square of the wide one is green; JPEG blurs its borders.
    assert (images[3, 2:-2, 2:-2] @ [-1, 1, 0] > 100).all()
    with pytest.raises(ValueError, match="holds 4 PNG and JPEG files.*of 2 captions"):
        figures.read_truth(folder, 2, 16)
    (folder / "00.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="00.png is no PNG or JPEG image"):
        figures.read_truth(folder, 4, 16)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        figures.read_truth(tmp_path / "absent", 1, 16)
