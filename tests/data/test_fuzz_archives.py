"""Mutated archives: read, or refused in a sentence, in bounded time and memory."""

import io
import os
import random
import tarfile
import time
import zipfile

import pytest

from mirrorgan_jax.data.sources import files, records

# MIRRORGAN_FUZZ=7000 for a long run.
BUDGET = int(os.environ.get("MIRRORGAN_FUZZ", "300"))
CONTENTS = {
    "birds/metadata.jsonl": b'{"file_name": "a.jpg", "text": "a bird"}\n' * 20,
    "birds/a.jpg": bytes(range(256)) * 8,
    "birds/sub/\u00fc.png": b"\x89PNG" * 50,
}
KINDS = ("zip", "stored.zip", "tar", "tar.gz", "tar.bz2", "tar.xz")


def _archive(kind):
    out = io.BytesIO()
    if kind.endswith("zip"):
        method = zipfile.ZIP_STORED if kind == "stored.zip" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, data in CONTENTS.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(fileobj=out, mode=f"w:{kind[4:]}") as archive:
            for name, data in CONTENTS.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _mutated(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(data))
        how = rng.randrange(5)
        if how == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[place : place + 4] = rng.randbytes(4)
        elif how == 2:
            data[place : place + 4] = rng.choice((b"\xff" * 4, bytes(4)))
        elif how == 3:
            del data[place : place + rng.randrange(1, 64)]
        else:
            start = rng.randrange(len(data))
            data[place:place] = data[start : start + rng.randrange(1, 64)]
        if not data:
            return b""
    return bytes(data)


def _read(path):
    """How many files were read; problems are sentences."""
    try:
        source = files.open_source(path)
    except records.DataError as error:
        assert len(error.problems) == 1 and error.problems[0].isprintable()
        return 0
    read = 0
    for name in source.names:
        try:
            read += bool(source.read(name, limit=2**20))
        except (OSError, ValueError) as error:
            assert str(error)
    source.digest(remembered=None)
    return read


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_archives_are_read_or_refused(tmp_path, kind):
    rng, whole = random.Random(kind), _archive(kind)
    path = tmp_path / f"birds.{kind}"
    path.write_bytes(whole)
    assert _read(path) == len(CONTENTS)
    read = 0
    for number in range(BUDGET // len(KINDS)):
        path.write_bytes(_mutated(whole, rng))
        begin = time.monotonic()
        read += _read(path) > 0
        assert time.monotonic() - begin < 5, (kind, number)
    assert read or kind not in ("stored.zip", "tar")
