"""The list of images that were written, by which writing goes on after a stop."""

import hashlib
import json

from etils import epath

NAME = "manifest.jsonl"


def _key(number, index, caption):
    return number, index, hashlib.sha256(caption.encode("utf-8")).digest()


class Manifest:
    """A row an image: file, caption and how it was made; used as a context.

    Rows are appended when their image is on disk, so that what is listed is whole. A
    line that a kill cut is left out, and its image made again.

    Args:
      folder: of the images, a local one; made when absent.
      settings: what all of them have in common, as JSON values: the first line.

    Raises:
      ValueError: the folder lists images of other settings, or is on a bucket.
    """

    def __init__(self, folder, settings):
        if "://" in str(folder):
            raise ValueError(f"{folder}: a list that grows needs a local folder")
        self._path = epath.Path(folder) / NAME
        self._listed, lines = set(), []
        if self._path.exists():
            lines = self._path.read_bytes().splitlines(keepends=True)
        rows = [row for line in lines if (row := _row(line)) is not None]
        if rows:
            there = rows[0].get("settings")
            if there != settings:
                there = there if isinstance(there, dict) else {}
                other = [key for key in settings if there.get(key) != settings[key]]
                raise ValueError(
                    f"{self._path} lists images of another {', '.join(other)}: give"
                    " another --out"
                )
        self._rows = [{"settings": settings}]
        for row in rows[1:]:
            if (self._path.parent / str(row.get("file"))).exists():
                self._rows.append(row)
                self._listed.add(_key(row["number"], row["index"], row["caption"]))

    def __enter__(self):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Written anew: a cut line would swallow the next one.
        whole = "".join(json.dumps(row) + "\n" for row in self._rows)
        unfinished = self._path.with_name(f".{NAME}.unfinished")
        unfinished.write_text(whole)
        unfinished.replace(self._path)
        self._file = self._path.open("a")
        return self

    def __exit__(self, *unused):
        self._file.close()

    def has(self, number, index, caption):
        """Whether an image of a caption, number and all, is listed and there."""
        return _key(number, index, caption) in self._listed

    def add(self, file, number, index, caption):
        """Lists an image that has been written."""
        row = {"file": file, "number": number, "index": index, "caption": caption}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()


def _row(line):
    """The row of a line, or None where it was cut."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(row, dict) and (
        "settings" in row
        or {"file", "number", "index"} <= set(row)
        and isinstance(row.get("caption"), str)
    )
    return row if whole else None
