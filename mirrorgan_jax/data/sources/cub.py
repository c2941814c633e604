"""CUB-200-2011 with its captions and class-disjoint split (paper section 4.1).

The folder is the one that AttnGAN's users have: `CUB_200_2011/{images/, images.txt,
bounding_boxes.txt}`, `text/<class>/<image>.txt` (one caption a line, the first ten
count) and `train|test/{filenames,class_info}.pickle`.
"""

import hashlib
import io
import pathlib
import pickle

import ml_collections
import numpy as np

from mirrorgan_jax.data import captions
from mirrorgan_jax.data.sources import records

NEEDS = "the folder that holds CUB_200_2011/, text/, train/ and test/"
CROP_TO_BOX = True
TRUTH = None

CAPTIONS_PER_IMAGE = 10
_PICKLES = ("filenames", "class_info")


class _Unpickler(pickle.Unpickler):
    """Reads lists of strings and numbers, and nothing that could run code."""

    def find_class(self, module, name):
        if module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            if name == "scalar":
                return np._core.multiarray.scalar
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        raise pickle.UnpicklingError(
            f"{module}.{name} is refused; only NumPy scalars are allowed"
        )


def load_pickle(data: bytes) -> object:
    """The value of a split file's bytes (pickles of Python 2 included)."""
    return _Unpickler(io.BytesIO(data), encoding="latin1").load()


def _load_list(path: pathlib.Path, problems: list[str], where: str) -> list:
    try:
        value = load_pickle(path.read_bytes())
    except FileNotFoundError:
        problems.append(f"{where}: missing")
        return []
    except Exception as error:  # Damaged pickles raise anything.
        problems.append(f"{where}: not a readable pickle: {error}")
        return []
    if not isinstance(value, list | tuple):
        problems.append(f"{where}: holds a {type(value).__name__}, not a list")
        return []
    return list(value)


def load_split(
    folder: str | pathlib.Path, problems: list[str]
) -> list[tuple[str, int]]:
    """Names and class numbers that a split's two pickles list.

    Args:
      folder: holds `filenames.pickle` and `class_info.pickle`.
      problems: what is wrong is appended here.
    """
    folder = pathlib.Path(folder)
    where = f"{folder.name}/filenames.pickle"
    names = _load_list(folder / "filenames.pickle", problems, where)
    classes = _load_list(
        folder / "class_info.pickle", problems, f"{folder.name}/class_info.pickle"
    )
    if names and classes and len(names) != len(classes):
        problems.append(
            f"{folder.name}/class_info.pickle: {len(classes)} classes for "
            f"{len(names)} pictures"
        )
    items = []
    for i, (name, class_id) in enumerate(zip(names, classes, strict=False)):
        if not isinstance(name, str) or records.unsafe_path(name):
            problems.append(f"{where}: item {i}: {name!r} is not a picture's name")
        elif not isinstance(class_id, int | np.integer):
            problems.append(f"{folder.name}/class_info.pickle: item {i}: {class_id!r}")
        else:
            items.append((name, int(class_id)))
    return items


def _table(path: pathlib.Path, columns: int, problems: list[str]) -> dict:
    """Rows of a text table as {first column: (line number, other columns)}."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"CUB_200_2011/{path.name}: cannot be read: {error}")
        return {}
    rows = {}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if fields and len(fields) != columns:
            problems.append(
                f"CUB_200_2011/{path.name}:{number}: {len(fields)} fields, "
                f"not {columns}"
            )
        elif fields:
            rows[fields[0]] = (number, fields[1:])
    return rows


def _captions(
    source: pathlib.Path, name: str, rule: str, problems: list[str]
) -> list[str]:
    """The first ten captions; a blank line is none, an unreadable one is an error."""
    file = f"text/{name}.txt"
    try:
        lines = (source / file).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = "missing" if isinstance(error, FileNotFoundError) else str(error)
        problems.append(f"{file}: {reason}")
        return []
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or len(found) == CAPTIONS_PER_IMAGE:
            continue
        problem = captions.problem(line, rule)
        if problem:
            problems.append(f"{file}:{number}: {problem}")
        else:
            found.append(line.strip())
    if not found:
        problems.append(f"{file}:1: no caption")
    return found


def _box(boxes: dict, key: str, name: str, problems: list[str]):
    """The box of picture `key` (None if it is bad) and where it stands."""
    where = "CUB_200_2011/bounding_boxes.txt"
    if key not in boxes:
        problems.append(f"{where}: no box for picture {key} ({name})")
        return None, where
    number, fields = boxes[key]
    try:
        return tuple(float(v) for v in fields), f"{where}:{number}"
    except ValueError:
        problems.append(f"{where}:{number}: bad box {' '.join(fields)}: not numbers")
        return None, f"{where}:{number}"


def _root(settings: ml_collections.ConfigDict) -> pathlib.Path:
    return pathlib.Path(settings.source).expanduser()


def read(settings: ml_collections.ConfigDict, seed: int) -> records.Found:
    """Records of both splits, in the order of the pickles, and what is wrong.

    Args:
      settings: `source` is the folder described above.
      seed: not used; files are what they are.
    """
    source, problems, found, seen = _root(settings), [], [], {}
    images = _table(source / "CUB_200_2011/images.txt", 2, problems)
    boxes = _table(source / "CUB_200_2011/bounding_boxes.txt", 5, problems)
    ids = {fields[0]: (key, number) for key, (number, fields) in images.items()}
    for split in records.SPLITS:
        before = len(problems)
        items = load_split(source / split, problems)
        if not items and len(problems) == before:
            problems.append(f"{split}/filenames.pickle: lists no picture")
        for i, (name, class_id) in enumerate(items):
            listed = f"{split}/filenames.pickle: item {i}: {name}"
            if name in seen:
                problems.append(f"{listed} is listed before, in {seen[name]}")
            elif f"{name}.jpg" not in ids:
                problems.append(f"{listed} is not in CUB_200_2011/images.txt")
            else:
                key, line = ids[f"{name}.jpg"]
                box, box_where = _box(boxes, key, name, problems)
                found.append(
                    records.Record(
                        split=split,
                        name=f"{name}.jpg",
                        captions=_captions(source, name, settings.words, problems),
                        class_id=class_id,
                        class_name=name.split("/")[0],
                        read=(source / f"CUB_200_2011/images/{name}.jpg").read_bytes,
                        where=f"CUB_200_2011/images.txt:{line}",
                        box=box,
                        box_where=box_where,
                    )
                )
            seen[name] = split
    return records.Found(found, problems)


def fingerprint(settings: ml_collections.ConfigDict, seed: int) -> str:
    """Hash that changes when a file of the data set does (by size, lists by bytes)."""
    source, digest = _root(settings), hashlib.sha256()
    lists = [source / s / f"{f}.pickle" for s in records.SPLITS for f in _PICKLES]
    lists += [source / "CUB_200_2011" / f for f in ("images.txt", "bounding_boxes.txt")]
    for path in lists:
        digest.update(path.read_bytes() if path.exists() else b"missing")
    for part in ("text", "CUB_200_2011/images"):
        for path in sorted((source / part).glob("*/*")):
            entry = f"{path.relative_to(source)} {path.stat().st_size}\n"
            digest.update(entry.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:12]
