"""Archives of strangers: what may lie in them, and what they unpack to."""

import bz2
import contextlib
import gzip
import lzma
import os
import tarfile
import tempfile
import zipfile
import zlib
from typing import IO

from mirrorgan_jax.data.sources import records

_MEMBERS = 5_000_000
# A compressed tar is unpacked once into a nameless temporary file. Photographs hardly
# shrink; what grows by more than this, and by more than a GiB, is a bomb.
GROWTH, ALLOWED = 30, 2**30
_CHUNK = 2**20
# Of compressed tars, by their first bytes.
_PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
# What reading an archive raises where it is damaged, beside ValueError and OSError.
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)
_JUNK = {".ds_store", "thumbs.db", "desktop.ini", "__macosx"}


def is_tar(file: IO[bytes]) -> bool:
    """Whether it is a tar, compressed or not, that begins undamaged."""
    file.seek(0)
    try:
        return tarfile.is_tarfile(file)
    except (OSError, *DAMAGED):  # a damaged compressed stream
        return False


def wanted(name):
    """Whether a file is more than what operating systems leave behind."""
    parts = name.split("/")
    return not parts[-1].startswith("._") and not _JUNK & {p.lower() for p in parts}


def without_top(found):
    """{name: member} without junk and without one folder around everything."""
    found = {name: member for name, member in found if wanted(name)}
    tops = {name.partition("/")[0] for name in found}
    if len(tops) == 1 and all("/" in name for name in found):
        found = {name.partition("/")[2]: member for name, member in found.items()}
    return found


def checked(names):
    """Refuses names that leave the archive, and a name that stands there twice.

    Raises:
      ValueError: one of them, or too many.
    """
    seen = set()
    for name in names:
        if records.unsafe_path(name):
            raise ValueError(f"member {records.printable(name)!r} leaves the archive")
        if name in seen:
            raise ValueError(f"member {records.printable(name)!r} is there twice")
        seen.add(name)
        if len(seen) > _MEMBERS:
            raise ValueError(f"more than {_MEMBERS:,} members")


def plain_tar(file: IO[bytes]) -> IO[bytes]:
    """An open file with the plain tar, whose members are then read in any order.

    Args:
      file: the tar, which is closed if it is compressed.

    Raises:
      ValueError: it unpacks to far more than it is.
    """
    file.seek(0)
    head = file.read(6)
    file.seek(0)
    unpack = next((u for begin, u in _PACKED.items() if head.startswith(begin)), None)
    if unpack is None:
        return file
    most, size = max(ALLOWED, GROWTH * os.fstat(file.fileno()).st_size), 0
    with contextlib.ExitStack() as opened:
        out = opened.enter_context(tempfile.TemporaryFile())
        with file, unpack(file) as packed:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise ValueError(f"unpacks to more than {most / 2**30:,.0f} GiB")
                out.write(chunk)
        out.seek(0)
        opened.pop_all()
        return out
