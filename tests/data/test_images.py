"""Box crop, resize and crop equal the reference's preprocessing."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, features
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


def _png_chunks(bits, colour, row, transparent):
    """A PNG of one row of pixels with a transparent colour, as it is written."""

    def chunk(name, body):
        tail = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + tail

    width = len(row) * 8 // (bits * (3 if colour == 2 else 1))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, colour, 0, 0, 0))
        + chunk(b"tRNS", transparent)
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )


def _pixels(data, ground="white"):
    images.check(data)
    return images.decode(images.normalise(data, ground)).numpy()


LEVELS = np.array([[0, 128, 129, 257, 25_700, 65_280, 65_406, 65_535]], np.uint16)
EIGHT = [0, 0, 1, 1, 100, 254, 254, 255]  # value / 257, rounded


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF of MM"])
def test_16_bits_of_grey_are_divided_by_257(kind):
    if kind == "TIFF of MM":
        picture = Image.frombytes("I;16B", (8, 1), LEVELS.astype(">u2").tobytes())
        data = _encoded(picture, "TIFF")
        assert data.startswith(b"MM")
    else:
        data = _encoded(Image.fromarray(LEVELS), kind)
    assert _pixels(data)[0].tolist() == [[v] * 3 for v in EIGHT]


def test_16_bits_of_colour_keep_their_white():
    row = np.repeat(LEVELS.astype(">u2"), 3).tobytes()
    data = _png_chunks(16, 2, row, struct.pack(">HHH", 9, 9, 9)).replace(
        b"tRNS", b"tRNZ"
    )
    data = data.replace(
        struct.pack(">I", zlib.crc32(b"tRNS" + struct.pack(">HHH", 9, 9, 9))),
        struct.pack(">I", zlib.crc32(b"tRNZ" + struct.pack(">HHH", 9, 9, 9))),
    )
    # The decoder of training drops the low byte: one level at most.
    assert np.abs(_pixels(data)[0, :, 0].astype(int) - EIGHT).max() <= 1


def test_tiff_whose_white_is_zero_is_no_negative():
    data = bytearray(_encoded(Image.fromarray(LEVELS), "TIFF"))
    at = data.index(struct.pack("<HHIH", 262, 3, 1, 1))
    data[at + 8] = 0
    expected = [[255 - v] * 3 for v in EIGHT]
    assert np.abs(_pixels(bytes(data))[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("dtype", "words"), [(np.int32, "32-bit"), (np.float32, "fractions")]
)
def test_tiff_of_numbers_without_known_white_is_refused(dtype, words):
    data = _encoded(Image.fromarray(LEVELS.astype(dtype)), "TIFF")
    with pytest.raises(ValueError, match=f"a TIFF of {words}.*8 or 16 bits"):
        images.check(data)


def _clear_left(mode):
    """Left half hidden magenta, right half opaque green."""
    picture = Image.new("RGBA", (8, 4), (255, 0, 255, 0))
    picture.paste((0, 200, 0, 255), (4, 0, 8, 4))
    if mode == "LA":
        return picture.convert("LA")
    return picture.quantize(8) if mode == "P" else picture


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("RGBA", "PNG", {}),
        ("LA", "PNG", {}),
        ("P", "PNG", {}),
        ("RGBA", "WEBP", {"lossless": True, "exact": True}),
        ("RGBA", "TIFF", {}),
        ("RGBA", "GIF", {}),
        ("RGBA", "AVIF", {"quality": 100, "subsampling": "4:4:4"}),
    ],
)
@pytest.mark.parametrize("ground", ["white", "black"])
def test_transparency_shows_the_ground_not_hidden_colours(mode, kind, options, ground):
    picture = _clear_left(mode)
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    pixels = _pixels(_encoded(picture, kind, **options), ground).astype(int)
    shown = 255 if ground == "white" else 0
    assert np.abs(pixels[:, :3] - shown).max() <= 3
    green = (117, 117, 117) if mode == "LA" else (0, 200, 0)
    assert np.abs(pixels[:, 5:] - green).max() <= 3


def test_half_transparent_pixels_are_mixed_with_the_ground():
    data = _encoded(Image.new("RGBA", (2, 2), (200, 100, 0, 128)), "PNG")
    part = 128 / 255
    for ground, shown in (("white", 255), ("black", 0)):
        expected = np.array([200, 100, 0]) * part + shown * (1 - part)
        assert np.abs(_pixels(data, ground) - expected).max() <= 1


@pytest.mark.parametrize(
    ("bits", "colour", "row", "transparent", "on_black"),
    [
        (1, 0, b"\xf0", b"\0\1", [0, 0, 0, 0, 0, 0, 0, 0]),
        (1, 0, b"\xf0", b"\0\0", [255, 255, 255, 255, 0, 0, 0, 0]),
        (2, 0, b"\xe4", b"\0\3", [0, 170, 85, 0]),
        (4, 0, b"\xf8", b"\0\x0f", [0, 136]),
        (8, 0, b"\xff\x80", b"\0\xff", [0, 128]),
        (16, 0, b"\xff\xff\xff\xfe\x80\x80", b"\xff\xff", [0, 255, 128]),
        (8, 2, b"\xff\xff\xff\x80\x80\x80", b"\0\xff" * 3, [0, 128]),
        (16, 2, b"\x80\xff" * 3 + b"\xff\xff" * 3, b"\x80\xff" * 3, [0, 255]),
    ],
)
def test_one_transparent_colour_of_a_png_at_every_depth(
    bits, colour, row, transparent, on_black
):
    data = _png_chunks(bits, colour, row, transparent)
    assert _pixels(data, "black")[0, :, 0].tolist() == on_black


def test_picture_of_nothing_visible_is_refused():
    data = _encoded(Image.new("RGBA", (8, 8), (9, 9, 9, 0)), "PNG")
    with pytest.raises(ValueError, match="every pixel is transparent"):
        images.check(data)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_picture_of_several_counts(kind):
    first, second = (Image.new("RGB", (8, 8), c) for c in ("red", "blue"))
    options = {"lossless": True} if kind == "WEBP" else {}
    data = _encoded(first, kind, save_all=True, append_images=[second], **options)
    assert np.all(_pixels(data) == [255, 0, 0])


def test_first_picture_of_a_telephone_is_a_jpeg():
    first, second = (Image.new("RGB", (8, 8), c) for c in ("red", "blue"))
    data = _encoded(first, "MPO", save_all=True, append_images=[second])
    assert images.check(data) == (8, 8)
    assert images.normalise(data) == data
    assert np.abs(_pixels(data).astype(int) - [255, 0, 0]).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_orientation_ends_upright(kind, orientation):
    rng = np.random.default_rng(3)
    corners = rng.integers(0, 256, (2, 3, 3), np.uint8)
    picture = Image.fromarray(corners).resize((48, 32), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = ImageOps.exif_transpose(_with(picture, exif))
    data = _encoded(picture, kind, exif=exif, quality=100)
    assert images.check(data) == expected.size
    difference = _pixels(data).astype(int) - np.array(expected, int)
    assert np.abs(difference).mean() < 8  # JPEG's and WebP's own error


def _with(picture, exif):
    out = io.BytesIO()
    picture.save(out, "PNG", exif=exif)
    return Image.open(out)
