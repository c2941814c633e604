"""Hashes of large files, read once and remembered."""

import contextlib
import hashlib
import json
import os
import pathlib


class Remembered:
    """Hashes of files, kept in a JSON file beside their sizes and times of change.

    Args:
      path: of the JSON file, which need not exist; None: nothing is remembered.
    """

    def __init__(self, path):
        self._path = path and pathlib.Path(path)
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

    def digest(self, path):
        """SHA-256 of a file's bytes."""
        now = path.stat()
        key = str(path.absolute())
        state = [now.st_size, now.st_mtime_ns, now.st_ctime_ns]
        known = self._known.get(key)
        if isinstance(known, list) and known[:3] == state and len(known) == 4:
            found = str(known[3])
        else:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        self._fresh[key] = [*state, found]
        return found
