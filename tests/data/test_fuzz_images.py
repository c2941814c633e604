"""Mutated pictures of every allowed format: a size or one sentence, fast and small.

`MIRRORGAN_FUZZ=N` tries N instead of the few of every day.
"""

import io
import os
import resource
import time
import zlib

import numpy as np
import pytest
from PIL import Image, features

from mirrorgan_jax.data import conversion, images

COUNT = int(os.environ.get("MIRRORGAN_FUZZ", 400))
SECONDS, MEGABYTES = 5, 1024

# What a damaged file makes Pillow warn of, preparation silences.
pytestmark = pytest.mark.filterwarnings("ignore")


def _seeds():
    """Small pictures of every format and of every way through the conversion."""
    rng = np.random.default_rng(0)
    rgba = Image.fromarray(rng.integers(0, 256, (13, 17, 4), np.uint8))
    rgb = rgba.convert("RGB")
    deep = Image.fromarray(rng.integers(0, 2**16, (13, 17), np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    forms = [
        (rgb, "JPEG", {}),
        (rgb, "JPEG", {"progressive": True, "exif": exif}),
        (rgb.convert("CMYK"), "JPEG", {}),
        (rgb, "PNG", {}),
        (rgb, "PNG", {"exif": exif}),
        (rgba, "PNG", {}),
        (deep, "PNG", {}),
        (rgb.convert("1"), "PNG", {"transparency": 1}),
        (rgb.quantize(16), "PNG", {"transparency": b"\0\x80"}),
        (rgb.quantize(16), "GIF", {"transparency": 3}),
        (rgb, "GIF", {"save_all": True, "append_images": [rgb.rotate(90)]}),
        (rgba, "WEBP", {"lossless": True}),
        (rgb, "WEBP", {}),
        (rgba, "TIFF", {}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}),
        (rgb, "TIFF", {"compression": "jpeg"}),
        (deep, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (rgb, "BMP", {}),
        (rgb.quantize(16), "BMP", {}),
    ]
    if features.check("avif"):
        forms.append((rgba, "AVIF", {}))
    for picture, kind, options in forms:
        out = io.BytesIO()
        picture.save(out, kind, **options)
        yield kind, out.getvalue()


def _number(rng):
    """Bytes of a number that headers do not expect."""
    values = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)
    width = int(rng.choice([1, 2, 4]))
    value = int(rng.choice(values)) & (1 << 8 * width) - 1
    return value.to_bytes(width, rng.choice(["little", "big"]))


def _mutated(data, other, rng):
    """Flipped bits, wild numbers, cuts, splices and repeats, one to four of them."""
    for _ in range(rng.integers(1, 5)):
        data = bytearray(data)
        # Half of the changes are in the header, where the numbers stand.
        end = len(data) if rng.random() < 0.5 else min(len(data), 80)
        at = int(rng.integers(0, max(end, 1)))
        kind = rng.integers(0, 6)
        if kind == 0 and data:
            data[at] ^= 1 << rng.integers(0, 8)
        elif kind in (1, 2):
            number = _number(rng)
            data[at : at + len(number)] = number
        elif kind == 3 and rng.random() < 0.3:
            del data[at:]
        elif kind == 4:
            start = int(rng.integers(0, len(other)))
            data[at:at] = other[start : start + int(rng.integers(1, 60))]
        else:
            to = at + int(rng.integers(1, 60))
            data[at:at] = data[at:to] * int(rng.integers(1, 4))
    return bytes(data)


def _with_right_sums(data):
    """A PNG whose chunks have the checksums that they should: else all end there."""
    at, out = 8, bytearray(data[:8])
    while at + 12 <= len(data):
        length = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
        body = data[at + 4 : at + 8 + length]
        out += length.to_bytes(4, "big") + body
        out += zlib.crc32(body).to_bytes(4, "big")
        at += 12 + length
    return bytes(out)


def _result(data):
    """A size, or the sentence of the only kind of error there may be."""
    try:
        size = images.check(data)
    except ValueError as error:
        sentence = str(error)
        assert sentence.isprintable() and sentence and len(sentence) < 300
        assert " at 0x" not in sentence
        return sentence
    height, width, channels = images.decode(images.normalise(data)).shape
    assert (width, height, channels) == (*size, 3)
    assert conversion.size_problem(*size) is None
    return size


def test_mutated_pictures_give_a_size_or_a_sentence():
    images.check(next(_seeds())[1])  # The first one starts libraries.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seeds, read, slowest = [*_seeds()], 0, 0.0
    for number in range(COUNT):
        rng = np.random.default_rng(number)
        kind, data = seeds[number % len(seeds)]
        other = seeds[rng.integers(len(seeds))][1]
        data = _mutated(data, other, rng)
        if kind == "PNG" and rng.random() < 0.7:
            data = _with_right_sums(data)
        began = time.perf_counter()
        result = _result(data)
        took = time.perf_counter() - began
        assert took < SECONDS, f"{kind}, mutation {number}: {took:.1f} s"
        slowest, read = max(slowest, took), read + isinstance(result, tuple)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    more = (after - before) // 1024
    print(f"{COUNT} tried, {read} read, slowest {slowest:.2f} s, {more} MiB more")
    assert more < MEGABYTES
    # Else the mutations would be too wild to reach the decoders.
    assert 0.1 * COUNT < read < 0.9 * COUNT
