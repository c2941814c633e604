"""Pictures of any usual form, within limits, to upright RGB of 8 bits.

Of an animation or of several pages the first picture counts. Whatever cannot be shown
without guessing (32-bit numbers, negative ones, Lab) is refused in a sentence.
"""

import io

import numpy as np
from PIL import Image

from mirrorgan_jax.data import formats
from mirrorgan_jax.data.sources import files

# A file is read into memory; uncompressed TIFFs of today's cameras are smaller.
MAX_BYTES = files.LIMIT
# A picture of these is 200 MB in Pillow and decodes in about a second; more of them at
# once stay below what a machine has. Telephones save 12 million.
MAX_PIXELS = 50_000_000
# The shorter side becomes up to 355 pixels, the longer one this many times as many, and
# the model sees a square of it. Wide panoramas have 10. With the limit above no side
# has more than 31,622 pixels.
MAX_ASPECT = 20
# Passes over all pixels of a progressive JPEG, times its pixels: files have about 10
# passes, and one made for it thousands, which takes minutes.
_MAX_SCANNED = 15 * MAX_PIXELS
# Its reader holds five copies of the picture.
_MAX_WEBP = MAX_PIXELS // 2
# Pillow decodes these row by row in Python.
_MAX_RUN_LENGTH = 4_000_000

GROUNDS = {"white": 255, "black": 0}

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_COLOURS = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr")
_CLEAR = ("LA", "La", "PA", "RGBA", "RGBa")
_STRIP = 256  # rows at a time, so that no second copy of a picture is made
# Tags of TIFF.
_SUBFILE, _BITS, _PHOTOMETRIC, _DNG = 254, 258, 262, 50706
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def size_problem(width: int, height: int, most: int = MAX_PIXELS) -> str | None:
    """Why a picture, or what is cropped of one, of this size is refused, or None."""
    if min(width, height) < 1:
        return f"{width} x {height} pixels: nothing is there"
    if width * height > most:
        return (
            f"{width} x {height} pixels: more than {most:,} are not read; make it"
            " smaller"
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        return (
            f"{width} x {height} pixels: one side is more than {MAX_ASPECT} times the"
            " other, and the model sees squares; crop it"
        )
    return None


def _check_size(width: int, height: int, most: int = MAX_PIXELS) -> None:
    problem = size_problem(width, height, most)
    if problem:
        raise formats.Refused(problem)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height in the header, for opening WebP takes memory for the canvas."""
    kind, head = data[12:16], data[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(head[4:7], "little"),
            1 + int.from_bytes(head[7:10], "little"),
        )
    if kind == b"VP8L":
        sides = int.from_bytes(head[1:5], "little")
        return 1 + (sides & 0x3FFF), 1 + (sides >> 14 & 0x3FFF)
    sides = int.from_bytes(head[6:10], "little")
    return sides & 0x3FFF, sides >> 16 & 0x3FFF


def open_picture(data: bytes) -> Image.Image:
    """The picture of encoded bytes, opened within the limits and not yet decoded.

    Raises:
      Refused: no picture of an allowed format, or one beyond the limits.
      Exception: any kind; Pillow's readers raise all of them on damaged bytes.
    """
    if len(data) > MAX_BYTES:
        raise formats.Refused(
            f"{len(data):,} bytes: more than {MAX_BYTES:,} are not read; make it"
            " smaller"
        )
    name = formats.recognise(data)
    if name == "WEBP":
        _check_size(*_webp_size(data), _MAX_WEBP)
    try:
        image = Image.open(io.BytesIO(data), formats=[name])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise formats.Refused(
            f"more than {MAX_PIXELS:,} pixels are not read; make it smaller"
        ) from None
    except Image.UnidentifiedImageError:
        raise formats.Refused(
            f"corrupt picture: begins as {name}, and is damaged or of a rare kind"
        ) from None
    _check_size(*image.size)
    if image.format in ("JPEG", "MPO"):
        _check_scans(data, image)
    elif image.format == "TIFF":
        _check_tiff(image)
    elif image.format == "PNG":
        _scale_clear_colour(image, depth=data[24])
    elif image.info.get("compression") in (1, 2):  # BMP
        if image.width * image.height > _MAX_RUN_LENGTH:
            raise formats.Refused(
                f"a run-length BMP of more than {_MAX_RUN_LENGTH:,} pixels; save it as"
                " PNG"
            )
    return image


def _check_scans(data: bytes, image: Image.Image) -> None:
    # Pixels never hold this marker: their 0xff is followed by a zero.
    scans = data.count(b"\xff\xda")
    if scans * image.width * image.height > _MAX_SCANNED:
        raise formats.Refused(f"a JPEG of {scans} passes; save it anew")


def _check_tiff(image: Image.Image) -> None:
    tags = image.tag_v2
    kind = tags.get(_SUBFILE, 0)
    if (isinstance(kind, int) and kind & 1) or _DNG in tags:
        raise formats.Refused(
            "a camera's raw file, whose first picture is a preview; save it as JPEG"
        )
    tile = [tags.get(tag, 1) for tag in (_TILE_WIDTH, _TILE_LENGTH)]
    if not all(isinstance(v, int) for v in tile) or tile[0] * tile[1] > MAX_PIXELS:
        raise formats.Refused("corrupt picture: tiles that no picture needs")


def _scale_clear_colour(image: Image.Image, depth: int) -> None:
    """Puts PNG's transparent colour, as written in the file, on Pillow's scale."""
    clear = image.info.get("transparency")
    if image.mode == "L" and isinstance(clear, int) and depth < 8:
        image.info["transparency"] = clear * 255 // (2**depth - 1)
    elif image.mode == "RGB" and isinstance(clear, tuple):
        shift = 8 if depth == 16 else 0
        image.info["transparency"] = tuple(v >> shift & 255 for v in clear)


def orientation(image: Image.Image) -> int:
    """How the picture must be turned, an EXIF orientation from 1 to 8.

    A tag that cannot be read turns nothing, as in every viewer.
    """
    if image.format not in ("JPEG", "MPO"):
        image.load()  # Its tag may stand behind the pixels; TIFF is turned by this.
    try:
        found = image.getexif().get(_ORIENTATION)
    except Exception:
        return 1
    return found if isinstance(found, int) and found in _UPRIGHT else 1


def upright_rgb(image: Image.Image, ground: str) -> Image.Image:
    """RGB of 8 bits on a ground, upright.

    Numbers of 16 bits are divided by 257, so that the whitest stays white. What
    is transparent shows the ground, a key of `GROUNDS`.

    Raises:
      Refused: nothing of the picture is visible, or its numbers have no known white.
      Exception: any kind; Pillow's readers raise all of them on damaged bytes.
    """
    turn = _UPRIGHT.get(orientation(image))
    name = image.format
    image.load()
    _check_size(*image.size)
    colours, alpha = _split(image, name)
    if alpha is not None:
        if alpha.getextrema()[1] == 0:
            raise formats.Refused("every pixel is transparent: nothing can be seen")
        below = Image.new("RGB", colours.size, (GROUNDS[ground],) * 3)
        below.paste(colours, mask=alpha)
        colours = below
    return colours if turn is None else colours.transpose(turn)


def _split(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """RGB and opacity (L, None if all is opaque) of a decoded picture."""
    mode, clear = image.mode, image.info.get("transparency")
    # Older versions of Pillow read a PNG of 16 bits as "I".
    if mode.startswith("I;16") or (mode == "I" and name == "PNG"):
        return _from_16_bits(image, clear)
    if mode in _CLEAR or (mode in ("P", "RGB") and image.has_transparency_data):
        image = image.convert("LA") if mode == "La" else image
        # A conversion to the same mode would be one more copy.
        image = image if mode == "RGBA" else image.convert("RGBA")
        return image.convert("RGB"), image.getchannel("A")
    if mode not in _COLOURS:
        kind = {"F": "fractions", "I": "32-bit or negative numbers"}.get(mode, mode)
        raise formats.Refused(
            f"a {name} of {kind}, of which nothing says what is white; save it with 8"
            " or 16 bits"
        )
    alpha = None
    if mode in ("1", "L") and isinstance(clear, int):
        del image.info["transparency"]
        image = image.convert("L")
        alpha = image.point([255 * (level != clear) for level in range(256)])
    return image.convert("RGB"), alpha


def _from_16_bits(
    image: Image.Image, clear: int | None
) -> tuple[Image.Image, Image.Image | None]:
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, (16,))[0]
    most = 2**bits - 1
    table = np.minimum(np.arange(2**16, dtype=np.uint32), most)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero, which Pillow leaves as it is
        table = most - table
    table = ((table * 255 + most // 2) // most).astype(np.uint8)
    levels = np.asarray(image)
    grey = np.empty(levels.shape, np.uint8)
    for top in range(0, len(levels), _STRIP):
        grey[top : top + _STRIP] = table[levels[top : top + _STRIP]]
    alpha = None
    if isinstance(clear, int):
        alpha = Image.fromarray(np.where(levels == clear, 0, 255).astype(np.uint8))
    return Image.fromarray(grey).convert("RGB"), alpha
