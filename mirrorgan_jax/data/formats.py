"""What a file's bytes are: a picture of an allowed format, or something else by name.

The first bytes decide, never the file's ending. Only the formats that are listed here
reach Pillow, each its own reader alone: others start programs (EPS) or are drawings.
"""

import re

from PIL import features

from mirrorgan_jax.data.sources import files, records

_SHOWN = 40  # characters of a text that is no picture
_LONGEST = 200  # characters of a library's message

# First bytes and the name by which Pillow knows the format.
_PICTURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
)
# First bytes of what people have under a picture's name.
_OTHERS = (
    (b"%!PS", "a PostScript drawing"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript drawing"),
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\1\0", "an icon"),
    (b"FUJIFILM", "a camera's raw file"),
    (b"PK\3\4", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x1aE\xdf\xa3", "a video"),
)
# Kinds of the ISO container.
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


class Refused(ValueError):
    """A sentence of ours about bytes that are no usable picture."""


def sentence(error: BaseException | str) -> str:
    """A library's message as one printable line without objects in memory."""
    text = str(error) or type(error).__name__
    text = re.sub(r"\{\{.*?\}\}|\[\[?\{\{.*|\[Op:.*", "", text)  # where in TensorFlow
    text = re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>", "the file", text)
    text = " ".join(text.split())
    return records.printable(text[:_LONGEST]) + "..." * (len(text) > _LONGEST)


def recognise(data: bytes) -> str:
    """Pillow's name of the format that the bytes have.

    Raises:
      Refused: it is none of the allowed formats; says what it is instead, or what
        its reader needs.
    """
    for start, name in _PICTURES:
        if data.startswith(start):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _container(data[: min(int.from_bytes(data[:4], "big"), 256)])
    raise Refused(f"no picture{files.kind_of(data[:512]) or _other(data)}")


def _container(box: bytes) -> str:
    """The format of an ISO container's first box; its readers are not always there."""
    brands = {box[8:12], *(box[i : i + 4] for i in range(16, len(box), 4))}
    if brands & _AVIF:
        if "avif" not in features.get_supported_modules():
            raise Refused(
                "an AVIF picture, which this Pillow cannot read: save it as JPEG"
            )
        return "AVIF"
    if brands & _HEIC:
        try:
            import pillow_heif
        except ImportError:
            raise Refused(
                "a HEIC picture, for which no reader is installed: save it as JPEG,"
                " or install pillow-heif"
            ) from None
        pillow_heif.register_heif_opener()
        return "HEIF"
    raise Refused("no picture, but a video, or a camera's raw file")


def _other(data: bytes) -> str:
    """ ", but ..." of other bytes that are no picture."""
    if not any(data[: 2**16]):
        return ", but zero bytes: it was not copied completely"
    for start, words in _OTHERS:
        if data.startswith(start):
            return f", but {words}"
    if b"<svg" in data[:1024]:
        return ", but an SVG drawing"
    text = data[:_SHOWN].decode("ascii", "replace")
    if text.isascii() and all(c.isprintable() or c in "\t\r\n" for c in text):
        return f", but text that begins {text!r}"
    return f", but bytes of no known kind, which begin {data[:8].hex(' ')}"
