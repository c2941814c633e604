"""Hashes of large files, read once and remembered."""

import concurrent.futures
import contextlib
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

FOLDER = "~/.cache/mirrorgan_jax/digests"


class Item(NamedTuple):
    """A file whose hash is wanted.

    Attributes:
      name: under which the hash is remembered.
      state: numbers that are others once its bytes are; None: nothing tells that, so
        that it is read every time.
      read: reads it and returns the SHA-256 of its bytes in hex.
    """

    name: str
    state: list[int] | None
    read: Callable[[], str]


class Remembered:
    """Hashes of files, kept in a JSON file beside their sizes and times of change.

    Args:
      folder: of the JSON files, one a source; it need not exist. None: nothing is
        remembered.
      source: name of the folder or archive that the files belong to.
    """

    def __init__(self, folder, source):
        own = hashlib.sha256(os.fsencode(source)).hexdigest()[:16]
        self._path = folder and pathlib.Path(folder).expanduser() / f"{own}.json"
        self._known, self._fresh = {}, {}

    def __enter__(self):
        # A note that cannot be read only means that everything is read again.
        with contextlib.suppress(OSError, ValueError, TypeError):
            known = json.loads(self._path.read_bytes()) if self._path else {}
            self._known = known if isinstance(known, dict) else {}
        return self

    def __exit__(self, kind, error, trace):
        if error or not self._path or self._fresh.items() <= self._known.items():
            return
        with contextlib.suppress(OSError):  # a folder that may only be read
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            part.write_text(json.dumps(self._known | self._fresh))
            part.replace(self._path)

    def digests(self, items: Sequence[Item], threads: int) -> list[str]:
        """SHA-256 of the bytes of files, in their order; read by `threads`."""
        found = [self._known_digest(item) for item in items]
        unknown = [i for i, own in zip(items, found, strict=True) if own is None]
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            read = pool.map(lambda item: item.read(), unknown)
            found = [next(read) if own is None else own for own in found]
        for item, own in zip(items, found, strict=True):
            if item.state is not None:
                self._fresh[item.name] = [*item.state, own]
        return found

    def _known_digest(self, item):
        known = self._known.get(item.name)
        if item.state is None or not isinstance(known, list):
            return None
        *state, own = known or [None]
        return str(own) if state == item.state else None


def local(path: pathlib.Path) -> Item:
    """A file of this machine."""
    now = path.stat()
    return Item(
        str(path.absolute()),
        [now.st_size, now.st_mtime_ns, now.st_ctime_ns],
        functools.partial(_digest, path),
    )


def _digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
