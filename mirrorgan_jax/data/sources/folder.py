"""Own photographs: a folder or a zip with `metadata.jsonl`.

One JSON object a line: `file_name` (relative to the file) and `captions`, and if
known `split` ("train" or "test"), `class_id`, `class_name` and `box` [x, y, w, h].
When no line names a split every tenth picture is a test picture; when some do, the
others are training pictures. A picture without class is a class of its own.
"""

import hashlib
import json
import pathlib
import zipfile

import ml_collections
import numpy as np

from mirrorgan_jax.data.sources import records

NEEDS = "a folder or zip with metadata.jsonl and the images"
CROP_TO_BOX = True
TRUTH = None

METADATA = "metadata.jsonl"
_TEST_EVERY = 10


class _Files:
    """The files of a folder or of a zip, by relative name."""

    def __init__(self, source: str):
        self.source = pathlib.Path(source).expanduser()
        self._zip = None
        if self.source.is_file():
            if not zipfile.is_zipfile(self.source):
                raise records.DataError(source, [f"{source}: neither folder nor zip"])
            self._zip = zipfile.ZipFile(self.source)
        elif not self.source.is_dir():
            raise records.DataError(source, [f"{source}: missing"])

    def read(self, name: str) -> bytes:
        """Bytes of a file; KeyError or OSError if it is not there."""
        if self._zip is not None:
            return self._zip.read(name)
        path = self.source / name
        # A symbolic link must not lead out of the folder either.
        if not path.resolve().is_relative_to(self.source.resolve()):
            raise OSError(f"{name} lies outside the folder")
        return path.read_bytes()

    def sizes(self):
        """(name, size) of every file, sorted."""
        if self._zip is not None:
            return sorted((i.filename, i.file_size) for i in self._zip.infolist())
        files = (p for p in self.source.rglob("*") if p.is_file())
        return sorted(
            (p.relative_to(self.source).as_posix(), p.stat().st_size) for p in files
        )


def _captions(row: dict, where: str, problems: list[str]) -> list[str]:
    """The strings among a row's captions; whether they can be read comes later."""
    captions = row.get("captions")
    if not isinstance(captions, list) or not captions:
        problems.append(f'{where}: "captions" must be a list of at least one caption')
        return []
    for number, caption in enumerate(captions):
        if not isinstance(caption, str):
            problems.append(f"{where}: caption {number} is {caption!r}, not a string")
    return [c for c in captions if isinstance(c, str)]


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _box(row: dict, where: str, problems: list[str]):
    box = row.get("box")
    if box is None:
        return None
    numbers = isinstance(box, list) and len(box) == 4
    numbers = numbers and all(
        isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v)
        for v in box
    )
    if not numbers:
        problems.append(f"{where}: bad box {box!r}: [x, y, width, height] is needed")
        return None
    return tuple(float(v) for v in box)


def _row(line: str, where: str, problems: list[str]) -> dict | None:
    """One checked line: name, split or None, class or None, captions, box."""
    try:
        row = json.loads(line)
    except ValueError as error:
        problems.append(f"{where}: broken JSON: {error}")
        return None
    name = row.get("file_name") if isinstance(row, dict) else None
    if not isinstance(name, str):
        problems.append(f'{where}: a JSON object with "file_name" is needed')
        return None
    if records.unsafe_path(name):
        problems.append(f"{where}: file name {name!r} leaves the folder")
        return None
    split, class_id = row.get("split"), row.get("class_id")
    if split is not None and split not in records.SPLITS:
        problems.append(
            f"{where}: unknown split {split!r}; allowed: {', '.join(records.SPLITS)}"
        )
    whole = class_id is None or (_is_whole(class_id) and 0 <= class_id < 2**30)
    if not whole:
        problems.append(f"{where}: class_id {class_id!r} is no whole number from 0")
    return {
        "name": name,
        "split": split,
        "class_id": class_id if whole else None,
        "class_name": str(row.get("class_name", "")),
        "captions": _captions(row, where, problems),
        "box": _box(row, where, problems),
        "where": where,
    }


def _rows(content: bytes, problems: list[str]) -> list[dict]:
    rows, seen = [], {}
    for number, line in enumerate(content.split(b"\n"), 1):
        where = f"{METADATA}:{number}"
        if not line.strip():
            continue
        try:
            row = _row(line.decode("utf-8-sig"), where, problems)
        except UnicodeDecodeError as error:
            problems.append(f"{where}: not UTF-8: {error}")
            continue
        if row is None:
            continue
        if row["name"] in seen:
            problems.append(
                f"{where}: {row['name']} again, as in line {seen[row['name']]}"
            )
            continue
        seen[row["name"]] = number
        rows.append(row)
    return rows


def read(settings: ml_collections.ConfigDict, seed: int) -> records.Found:
    """Records of both splits, in the order of the lines, and what is wrong.

    Args:
      settings: `source` is the folder, or the zip.
      seed: not used; files are what they are.
    """
    files, problems = _Files(settings.source), []
    try:
        content = files.read(METADATA)
    except (OSError, KeyError):
        return records.Found([], [f"{METADATA}: missing"])
    rows = _rows(content, problems)
    drawn = all(row["split"] is None for row in rows)
    unused = 1 + max((r["class_id"] or 0 for r in rows), default=0)
    found = []
    for i, row in enumerate(rows):
        default = "test" if drawn and i % _TEST_EVERY == _TEST_EVERY - 1 else "train"
        class_id = unused + i if row["class_id"] is None else row["class_id"]
        found.append(
            records.Record(
                split=row["split"] or default,
                name=row["name"],
                captions=row["captions"],
                class_id=class_id,
                class_name=row["class_name"],
                read=lambda name=row["name"]: files.read(name),
                where=row["where"],
                box=row["box"],
                box_where=row["where"],
            )
        )
    present = {r.split for r in found}
    problems += [
        f"{METADATA}: no picture of split {split!r}"
        for split in records.SPLITS
        if split not in present and not problems
    ]
    return records.Found(found, problems)


def fingerprint(settings: ml_collections.ConfigDict, seed: int) -> str:
    """Hash that changes when a file does (by size; the metadata by its bytes)."""
    files, digest = _Files(settings.source), hashlib.sha256()
    try:
        digest.update(files.read(METADATA))
    except (OSError, KeyError):
        digest.update(b"missing")
    for name, size in files.sizes():
        digest.update(f"{name} {size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:12]
