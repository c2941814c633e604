"""Box crop, resize and crop equal the reference's preprocessing."""

import io

import numpy as np
import pytest
from PIL import Image
from support import parity

from mirrorgan_jax.data import images


def _grey_levels(array):
    """CHW in [-1, 1] -> HWC grey levels."""
    return np.round((array.transpose(1, 2, 0) * 0.5 + 0.5) * 255)


@pytest.mark.parametrize("number", range(5))
def test_preprocessing_equals_reference_within_one_grey_level(number):
    fixture = parity.load("10a_get_imgs")
    case = fixture.meta["cases"][number]
    image = fixture[case["image"]]
    height, width = image.shape[:2]
    assert [width, height] == case["size_wh"]
    if case["bbox_xywh"]:
        corners = images.box_crop(case["bbox_xywh"], width, height)
        assert list(corners) == case["bbox_crop_x1y1x2y2"]
    cropped = images.crop_box(image, np.array(case["bbox_xywh"] or [0] * 4, np.int32))
    # floormod by room + 1 leaves a draw that is inside the room unchanged.
    actual = images.crop_resized(cropped, 256, np.array(case["crop_xy"], np.int64))
    actual = actual.numpy()[:, :: -1 if case["flip"] else 1]
    stride = case["stride256"]
    expected = _grey_levels(fixture[f"out/case{number}_256"])
    difference = np.abs(actual[::stride, ::stride].astype(float) - expected)
    assert difference.max() <= 1


@pytest.mark.parametrize("size", [(500, 333), (97, 110), (64, 64), (1200, 900)])
@pytest.mark.parametrize("image_size", [64, 256])
def test_resize_equals_pillow_enlarging_and_shrinking(size, image_size):
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8))
    short = images.resized_shorter_side(image_size)
    scaled = tuple(int(short * s / min(size)) for s in size)
    left, top = (s - image_size for s in scaled)
    expected = picture.resize(scaled, Image.Resampling.BILINEAR).crop(
        (left, top, left + image_size, top + image_size)
    )
    actual = images.crop_resized(np.array(picture), image_size, np.array([left, top]))
    assert np.abs(actual.numpy().astype(int) - np.array(expected, int)).max() <= 1


@pytest.mark.parametrize(("size", "short"), [(256, 304), (299, 355), (64, 76)])
def test_resized_shorter_side_is_76_64ths(size, short):
    assert images.resized_shorter_side(size) == short


def test_centre_crop_is_in_the_middle():
    ramp = np.tile(np.arange(76, dtype=np.uint8)[None, :, None], (76, 1, 3))
    crop = images.crop_resized(ramp, 64).numpy()
    np.testing.assert_array_equal(crop[0, :, 0], np.arange(6, 70))


def test_draws_reach_every_offset_of_the_crop():
    ramp = np.tile(np.arange(76, dtype=np.uint8)[None, :, None], (76, 1, 3))
    lefts = {
        int(images.crop_resized(ramp, 64, np.array([d, 5]))[0, 0, 0]) for d in range(40)
    }
    assert lefts == set(range(13))


def _encoded(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def test_decode_equals_pillow_within_one_grey_level_and_turns_grey_to_rgb():
    rng = np.random.default_rng(1)
    small = Image.fromarray(rng.integers(0, 256, (8, 10, 3), np.uint8))
    picture = small.resize((100, 80), Image.Resampling.BICUBIC)
    for mode in ("RGB", "L"):
        data = _encoded(picture.convert(mode), "JPEG", quality=90, subsampling=0)
        expected = np.array(Image.open(io.BytesIO(data)).convert("RGB"), int)
        actual = images.decode(data).numpy().astype(int)
        assert actual.shape == (80, 100, 3)
        assert np.abs(actual - expected).max() <= 1


@pytest.mark.parametrize(
    ("mode", "kind", "kept"),
    [
        ("RGB", "JPEG", True),
        ("L", "PNG", True),
        ("RGBA", "PNG", False),
        ("P", "PNG", False),
        ("CMYK", "JPEG", False),
        ("RGB", "BMP", False),
    ],
)
def test_normalise_keeps_plain_bytes_and_converts_the_rest(mode, kind, kept):
    data = _encoded(Image.new("RGB", (20, 10), (200, 30, 30)).convert(mode), kind)
    assert images.check(data) == (20, 10)
    normal = images.normalise(data)
    assert (normal == data) == kept
    assert images.decode(normal).shape == (10, 20, 3)


def test_normalise_turns_a_picture_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _encoded(Image.new("RGB", (20, 10)), "JPEG", exif=exif)
    assert images.check(data) == (10, 20)
    assert images.decode(images.normalise(data)).shape == (20, 10, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_check_refuses_damaged_bytes(kind):
    rng = np.random.default_rng(2)
    picture = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
    data = _encoded(picture, kind)
    for damaged in (data[: len(data) // 2], data[:30]):
        with pytest.raises(ValueError, match="corrupt picture"):
            images.check(damaged)


@pytest.mark.parametrize(
    ("box", "good"),
    [
        ((0, 0, 100, 80), True),
        ((1, 2, 100, 79), True),
        ((10, 10, 0, 5), False),
        ((10, 10, -3, 5), False),
        ((10, 10, float("nan"), 5), False),
        ((10, 10, 1, 1), False),
        ((90, 10, 40, 20), False),
        ((200, 10, 10, 10), False),
        ((-40, 10, 60, 10), False),
    ],
)
def test_box_problem_accepts_touching_and_names_bad_boxes(box, good):
    problem = images.box_problem(box, 100, 80)
    assert (problem is None) == good
    assert good or "bad box" in problem
