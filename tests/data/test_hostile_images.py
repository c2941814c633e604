"""Hostile or broken pictures: one sentence that says what they are, and nothing else.

The bytes are built by hand where an encoder would refuse to write them.
"""

import io
import struct
import sys
import threading
import time
import types
import zlib

import numpy as np
import pytest
from PIL import Image
from support import data_settings

from mirrorgan_jax import data as data_sets
from mirrorgan_jax.data import conversion, formats, images, prepare
from mirrorgan_jax.data.sources import records

# Preparation silences these; what matters is refused in a sentence.
pytestmark = [
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
    pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning"),
]


def _encoded(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _problem(data):
    """The sentence of `check`; `normalise` says it too, or leaves the bytes alone."""
    with pytest.raises(ValueError) as error:
        images.check(data)
    sentence = str(error.value)
    try:
        assert images.normalise(data) == data
    except ValueError as again:
        assert str(again) == sentence
    assert sentence.isprintable() and " at 0x" not in sentence
    return sentence


def _png(width, height, *, bits=8, colour=0, chunks=b"", row=b""):
    """A PNG whose header says a size; `row` is its first row."""

    def chunk(name, body):
        tail = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + tail

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunks
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )


def _webp(kind, body):
    data = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(data)) + data


def _tiff(tags, *, width=8, height=8, bits=8, pixels=bytes(64)):
    """A grey TIFF of little-endian long tags on top of the necessary ones."""
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1}
    entries |= {278: height, 279: len(pixels), **tags}
    table = b"".join(
        struct.pack("<HHII", tag, 4, 1, entries[tag]) for tag in sorted(entries)
    )
    at = 8 + len(pixels)
    count = struct.pack("<H", len(entries))
    return b"II*\0" + struct.pack("<I", at) + pixels + count + table + bytes(4)


def _box(brand, *others):
    brands = brand + bytes(4) + b"".join(others)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + bytes(64)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "`git lfs pull`"),
        (b"\r\n<!DOCTYPE html>\n<html><body>404", "a web page"),
        (b'<?xml version="1.0"?><svg width="9"/>', "an SVG drawing"),
        (bytes(5000), "zero bytes: it was not copied completely"),
        (b"%PDF-1.7", "a PDF document"),
        (b"8BPS\0\1", "a Photoshop file"),
        (b"PK\3\4\0\0", "a zip archive"),
        (b"AccessDenied \x1b[2J", "bytes of no known kind, which begin 41 63 63"),
        (b"Access denied", "text that begins 'Access denied'"),
        (_box(b"qt  "), "a video"),
        (b"P6 9 9 255 " + bytes(243), "bytes of no known kind"),
    ],
)
def test_file_that_has_only_the_ending_is_said_by_what_it_is(data, what):
    problem = _problem(data)
    assert problem.startswith("no picture, but ") and what in problem


@pytest.mark.parametrize("brands", [(b"heic",), (b"mif1", b"mif1", b"heic")])
def test_heic_needs_its_reader(monkeypatch, brands):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    problem = _problem(_box(*brands))
    assert problem.startswith("a HEIC picture") and "pillow-heif" in problem

    asked = []
    reader = types.SimpleNamespace(register_heif_opener=lambda: asked.append(1))
    monkeypatch.setitem(sys.modules, "pillow_heif", reader)
    assert formats.recognise(_box(*brands)) == "HEIF" and asked


def test_avif_needs_its_reader(monkeypatch):
    assert formats.recognise(_box(b"mif1", b"avif")) == "AVIF"
    monkeypatch.setattr(formats.features, "get_supported_modules", lambda: ["webp"])
    assert _problem(_box(b"avif")).startswith("an AVIF picture, which this Pillow")


def test_postscript_never_reaches_pillow(monkeypatch):
    def start(*unused):
        raise AssertionError("the reader that starts Ghostscript was asked")

    drawing = _encoded(Image.new("RGB", (8, 8)), "EPS")
    monkeypatch.setitem(Image.OPEN, "EPS", (start, lambda prefix: True))
    assert _problem(drawing) == "no picture, but a PostScript drawing"


@pytest.mark.parametrize("kind", ["TGA", "PCX", "PPM", "ICO", "DDS", "SGI"])
def test_other_formats_are_refused(kind):
    data = _encoded(Image.new("RGB", (16, 16), (9, 8, 7)), kind)
    assert _problem(data).startswith("no picture, but ")


def test_only_the_reader_of_the_format_sees_the_bytes(monkeypatch):
    asked, whole = [], Image.open

    def opened(fp, mode="r", formats=None):
        asked.append(formats)
        return whole(fp, mode, formats)

    monkeypatch.setattr(Image, "open", opened)
    images.check(_encoded(Image.new("RGB", (8, 8)), "PNG"))
    images.check(_encoded(Image.new("RGB", (8, 8)), "GIF"))
    assert asked == [["PNG"], ["GIF"]]


_BIG = "16383 x 10000 pixels: more than 50,000,000 are not read"
_BIG_WEBP = _BIG.replace("50", "25")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (_png(60_000, 1), "60000 x 1 pixels: one side is more than 20 times"),
        (_png(1, 60_000), "1 x 60000 pixels: one side is more than 20 times"),
        (_png(16_383, 10_000), _BIG),
        (_png(50_000, 50_000), "more than 50,000,000 pixels are not read"),
        (_webp(b"VP8X", bytes(4) + b"\xfe\x3f\0\x0f\x27\0" + bytes(50)), _BIG_WEBP),
        (
            _webp(
                b"VP8L",
                b"\x2f" + struct.pack("<I", 16_382 | 9_999 << 14) + bytes(50),
            ),
            _BIG_WEBP,
        ),
        (_webp(b"VP8 ", b"\x10\0\0\x9d\x01\x2a\xff\x3f\x10\x27"), _BIG_WEBP),
        (b"GIF89a" + struct.pack("<HH", 60_000, 1) + bytes(3), "corrupt picture"),
        (_tiff({322: 60_000, 323: 60_000}), "tiles that no picture needs"),
        (_png(0, 5), "corrupt picture"),
    ],
)
def test_sizes_beyond_the_limits_are_refused_before_decoding(data, sentence):
    began = time.perf_counter()
    assert sentence in _problem(data)
    assert time.perf_counter() - began < 1


def test_limits_let_pass_what_cameras_make():
    assert conversion.size_problem(8_064, 6_048) is None
    assert conversion.size_problem(16_000, 3_000) is None
    assert "1000 x 49 pixels: one side" in conversion.size_problem(1000, 49)
    assert images.check(_encoded(Image.new("RGB", (1000, 50)), "PNG")) == (1000, 50)


def test_larger_files_are_refused_unread(monkeypatch):
    data = _encoded(Image.new("RGB", (8, 8)), "PNG")
    monkeypatch.setattr(conversion, "MAX_BYTES", len(data) - 1)
    assert "bytes: more than" in _problem(data)
    monkeypatch.setattr(conversion, "MAX_BYTES", len(data))
    assert images.check(data) == (8, 8)


def test_jpeg_of_thousands_of_passes_is_refused():
    noise = np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8)
    data = _encoded(Image.fromarray(noise), "JPEG", progressive=True)
    assert images.check(data) == (640, 640)
    last = data[data.rindex(b"\xff\xda") : -2]
    slow = data[:-2] + last[:200] * 3_000 + data[-2:]
    assert "passes; save it anew" in _problem(slow)


def test_large_run_length_bitmap_is_refused():
    header = struct.pack("<IiiHHIIiiII", 40, 3000, 3000, 1, 8, 1, 0, 0, 0, 256, 0)
    start = b"BM" + struct.pack("<IHHI", 1078, 0, 0, 1078)
    data = start + header + bytes(1024) + b"\0\0" * 3000 + b"\0\1"
    assert "run-length BMP" in _problem(data)


@pytest.mark.parametrize("tags", [{254: 1}, {50706: 0x00000401}])
def test_preview_in_a_raw_file_is_not_taken_for_the_picture(tags):
    assert images.check(_tiff({})) == (8, 8)
    assert "a camera's raw file" in _problem(_tiff(tags))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_truncated_files_are_refused(kind):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    data = _encoded(Image.fromarray(noise), kind)
    for length in (12, 30, len(data) // 2, len(data) * 9 // 10):
        assert _problem(data[:length])


def test_strange_kinds_of_errors_become_the_sentence(monkeypatch):
    data = _encoded(Image.new("RGBA", (8, 8)), "PNG")
    for error in (
        MemoryError(),
        RecursionError("deep"),
        SyntaxError("<_io.BytesIO object at 0x7f00> is bad\n\x1b[31m"),
        KeyError("tag"),
        AssertionError(),
        struct.error("x" * 1000),
    ):

        def fail(*unused, error=error):
            raise error

        monkeypatch.setattr(conversion, "upright_rgb", fail)
        problem = _problem(data)
        assert problem.startswith("corrupt picture: ") and len(problem) < 250
    assert "<" not in problem


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("body", [b"II*\0\xff\xff\xff\x7f", b"no TIFF at all"])
def test_damaged_exif_turns_nothing(kind, body):
    picture = Image.new("RGB", (20, 10))
    data = _encoded(picture, kind, exif=b"Exif\0\0" + body)
    assert images.check(data) == (20, 10)
    assert images.normalise(data) == data


def test_box_that_cuts_out_a_thin_stripe_is_refused():
    thin = images.box_problem((-301, 500, 2, 402), 6_000, 6_000)
    assert "bad box" in thin and "cuts out 1 x 602 pixels: one side is" in thin
    assert images.box_problem((-301, 500, 402, 402), 6_000, 6_000) is None


def _record(number, read):
    return records.Record(
        split="train",
        name=f"{number}.png",
        captions=["a bird"],
        class_id=0,
        class_name="",
        read=read,
        where=f"list:{number}",
    )


def test_pictures_are_checked_by_threads_and_listed_in_order(tmp_path, monkeypatch):
    good = _encoded(Image.new("RGB", (8, 8)), "PNG")
    held, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=10)

    def read(number):
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        if number < 2:
            both.wait()  # Passes only where two are read at the same time.
        time.sleep(0.001 * (number % 3))
        with lock:
            held -= 1
        if number % 4 == 3:
            raise FileNotFoundError
        return good if number % 4 else good[:40]

    found = [_record(n, lambda n=n: read(n)) for n in range(40)]
    source = types.SimpleNamespace(
        NEEDS="pictures",
        read=lambda settings, seed: records.Found(found),
        fingerprint=lambda settings, seed: "slow",
    )
    monkeypatch.setitem(sys.modules, "slow_pictures", source)
    monkeypatch.setitem(data_sets.SOURCES, "slow", "slow_pictures")
    monkeypatch.setattr(prepare.os, "cpu_count", lambda: 2)
    with pytest.raises(records.DataError) as error:
        prepare.prepare(data_settings.settings(tmp_path, "slow", "here"), seed=0)
    numbers = [p.split(":")[1] for p in error.value.problems]
    assert numbers == [str(n) for n in range(40) if n % 4 in (0, 3)]
    assert error.value.problems[1] == "list:3: 3.png: missing"
    assert most == 2
