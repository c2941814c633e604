"""Where the parts of CUB-200-2011 lie in what a person has: folders and archives.

The pictures and lists (`CUB_200_2011/`), the captions (`text/`, `text_c10/` or
`captions.pickle`) and the split (`train|test/filenames.pickle`) come from different
places; people put them beside each other, in a folder `birds/`, or leave them packed.
"""

import collections
import dataclasses
import re
from collections.abc import Iterable

from mirrorgan_jax.data.sources import files, pickles, records

LISTS = ("images.txt", "bounding_boxes.txt")
SPLIT, CLASSES = "filenames.pickle", "class_info.pickle"
CAPTIONS = "captions.pickle"
_TEXTS = ("text", "text_c10")  # in the order in which they are taken
_ARCHIVE = re.compile(r".*\.(zip|tgz|tar|tar\.(gz|bz2|xz))", re.IGNORECASE)
_DEPTH = 2  # folders around a part
_TEXT = re.compile(r"((?:.*/)?)\d+\.[^/]+/[^/]+\.txt")  # .../<class>/<image>.txt


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder within a source.

    Attributes:
      files: where it lies.
      label: what messages put before its names: the archive, if it is in one.
      folder: its name with a slash behind it; "" for the top.
    """

    files: files.Files
    label: str
    folder: str

    def where(self, name: str = "") -> str:
        """How messages name one of its files, or the folder itself."""
        named = f"{self.label}{self.folder}{name}".rstrip("/: ")
        return records.printable(named or "the top folder")

    def holds(self, name: str) -> bool:
        """Whether it has such a file."""
        return self.files.find(f"{self.folder}{name}") is not None

    def read(self, name: str) -> bytes:
        """Contents of a file; KeyError, OSError or ValueError as `Files.read`."""
        wanted = f"{self.folder}{name}"
        return self.files.read(self.files.find(wanted) or wanted)


def unpickled(place: Place, name: str, problems: list[str]) -> object | None:
    """The value of a pickle; None where there is none, which is then a problem."""
    where = place.where(name)
    try:
        data = place.read(name)
    except (OSError, KeyError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | KeyError)
        problems.append(f"{where}: {'missing' if missing else error}")
        return None
    try:
        value = pickles.load(data, where)
    except ValueError as error:
        problems.append(str(error))
        return None
    if value is None:
        problems.append(f"{where}: holds None")
    return value


@dataclasses.dataclass
class Layout:
    """What was found.

    Attributes:
      pictures: the folder with the lists and `images/`, or None.
      texts: the folder with `<class>/<image>.txt`, or None.
      pickled: the folder with `captions.pickle`, or None.
      splits: the folders with `filenames.pickle`, by split.
      notes: parts that are there twice.
      problems: archives that could not be opened.
    """

    pictures: Place | None = None
    texts: Place | None = None
    pickled: Place | None = None
    splits: dict[str, Place] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)

    def whole(self) -> bool:
        """Whether there are pictures and captions; a split is built in."""
        return bool(self.pictures and (self.texts or self.pickled))


def find(source: str) -> Layout:
    """Looks for the parts in a source and, where some are missing, its archives.

    Args:
      source: the folder or archive that a person gives.

    Raises:
      records.DataError: it is neither folder nor archive.
    """
    opened, found = files.open_source(source), Layout()
    _look(opened, "", found)
    packed = [n for n in opened.names if _ARCHIVE.fullmatch(n) and _deep(n)]
    if packed and not found.whole() and opened.outside(packed[0]) is None:
        found.problems += [
            f"{records.printable(name)}: an archive within an archive is not opened:"
            " unpack the outer one"
            for name in packed
        ]
        return found
    for name in packed:
        # Caltech's archive has a gigabyte, and no captions.
        known = found.pictures and name.rpartition("/")[2].startswith("CUB_200_2011")
        if found.whole() or known:
            continue
        try:
            inner = files.open_source(opened.outside(name))
        except records.DataError as error:
            found.problems += error.problems
        else:
            _look(inner, f"{name}: ", found)
    return found


def relevant(names: Iterable[str]) -> list[str]:
    """The files that decide what is read."""
    ends = (".jpg", ".jpeg", ".txt", SPLIT, CLASSES, CAPTIONS)
    return [n for n in names if n.lower().endswith(ends) or _ARCHIVE.fullmatch(n)]


def _deep(name: str) -> bool:
    return name.count("/") <= _DEPTH


def _look(opened: files.Files, label: str, found: Layout) -> None:
    """Adds the parts that lie in these files, where none was found before."""
    names, texts = set(opened.names), collections.Counter()
    folders = collections.defaultdict(list)
    for name in opened.names:
        folder, _, last = name.rpartition("/")
        if last in (LISTS[0], CAPTIONS, SPLIT) and _deep(name):
            folders[last].append(f"{folder}/" if folder else "")
        elif match := _TEXT.fullmatch(name):
            texts[match[1]] += 1

    def taken(candidates: Iterable[str], known: Place | None) -> Place | None:
        places = [Place(opened, label, folder) for folder in candidates]
        if known is None and places:
            known = places.pop(0)
        found.notes += [
            f"{other.where()} is left out beside {known.where()}" for other in places
        ]
        return known

    lists = [f for f in folders[LISTS[0]] if f"{f}{LISTS[1]}" in names]
    found.pictures = taken(_shallow(lists), found.pictures)
    found.pickled = taken(_shallow(folders[CAPTIONS]), found.pickled)
    found.texts = taken(sorted(filter(_deep, texts), key=_rank(texts)), found.texts)
    for split in records.SPLITS:
        own = [f for f in folders[SPLIT] if f"/{f}".endswith(f"/{split}/")]
        place = taken(_shallow(own), found.splits.get(split))
        if place:
            found.splits[split] = place


def _shallow(folders: Iterable[str]) -> list[str]:
    return sorted(folders, key=lambda folder: (folder.count("/"), folder))


def _rank(counts: collections.Counter):
    """`text` before `text_c10` before others; then those of most files."""

    def rank(folder: str) -> tuple:
        name = folder.rstrip("/").rpartition("/")[2]
        order = _TEXTS.index(name) if name in _TEXTS else len(_TEXTS)
        return order, -counts[folder], folder

    return rank
