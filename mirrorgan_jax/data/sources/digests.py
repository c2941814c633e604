"""Hashes of large files, read once and remembered."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib

FOLDER = "~/.cache/mirrorgan_jax/digests"


class Remembered:
    """Hashes of files, kept in a JSON file beside their sizes and times of change.

    Args:
      folder: of the JSON files, one a source; it need not exist. None: nothing is
        remembered.
      source: the folder or archive that the files belong to.
    """

    def __init__(self, folder, source):
        own = hashlib.sha256(os.fsencode(source.absolute())).hexdigest()[:16]
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

    def digests(self, paths):
        """SHA-256 of the bytes of files, in their order; read by all cores."""
        states = [_state(path) for path in paths]
        found = [
            self._known_digest(path, state)
            for path, state in zip(paths, states, strict=True)
        ]
        unknown = [path for path, own in zip(paths, found, strict=True) if own is None]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            read = pool.map(_digest, unknown)
            found = [next(read) if own is None else own for own in found]
        for path, state, own in zip(paths, states, found, strict=True):
            self._fresh[str(path.absolute())] = [*state, own]
        return found

    def _known_digest(self, path, state):
        known = self._known.get(str(path.absolute()))
        if isinstance(known, list) and len(known) == 4 and known[:3] == state:
            return str(known[3])
        return None


def _state(path):
    now = path.stat()
    return [now.st_size, now.st_mtime_ns, now.st_ctime_ns]


def _digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
