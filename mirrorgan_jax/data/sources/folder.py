"""Own photographs with captions: a folder, a zip or a tar, in any usual form.

`forms` tells which form it is and gives its rows, `columns` what their keys say. Here
rows become pictures: the file of each, its captions together, split and class.

Splits are what `split`, a list's name or a folder (`train/`, `test/`, `validation/`)
says. Validation pictures are test pictures where there are no others, and left out
where there are. Without test pictures every tenth is one. A picture without class is a
class of its own; a class with a name alone is numbered.
"""

import collections
import dataclasses
import hashlib

import ml_collections

from mirrorgan_jax.data.sources import columns, files, forms, records, tables

NEEDS = "a folder, zip or tar with pictures and captions in a usual form"
CROP_TO_BOX = True
TRUTH = None

_TEST_EVERY = 10
# Changes when the same files are read in another way.
_READING = "2"


@dataclasses.dataclass
class _Picture:
    """A picture's file, the first row that lists it, and all captions."""

    member: str
    row: columns.Row
    split: str | None
    captions: list[str]


class _Places:
    """Finds the files that rows mean.

    Attributes:
      unlisted: names that are in no list of a split, where there are such lists.
      moved: {folder: pictures} where a list does not say the folder of a name.
    """

    def __init__(self, source: files.Files):
        self._source, self.moved = source, collections.defaultdict(set)
        self.unlisted: set[str] = set()
        self._by_base = collections.defaultdict(list)
        for name in filter(tables.is_picture, source.names):
            self._by_base[files.evened(name).rpartition("/")[2]].append(name)

    def find(self, name: str, folder: str) -> str:
        """The file of a listed name.

        Raises:
          ValueError: there is none, it could be one of several, or its name cannot be
            written down.
        """
        found = self._find(name, folder)
        if found is None:
            raise ValueError(f"{columns.brief(name)}: missing")
        try:
            found.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{columns.brief(name)}: its name is not UTF-8") from None
        return found

    def _find(self, name, folder):
        for place in dict.fromkeys((f"{folder}/{name}" if folder else name, name)):
            found = self._source.find(place)
            if found is not None:
                return found
        end = files.evened(name)
        ending = [
            found
            for found in self._by_base.get(end.rpartition("/")[2], ())
            if files.evened(found).endswith(f"/{end}")
        ]
        if len(ending) > 1:
            listed = " or ".join(map(records.printable, ending[:3]))
            raise ValueError(f"{columns.brief(name)} could be {listed}")
        if not ending:
            return None
        folder = "/".join(ending[0].split("/")[: -1 - end.count("/")])
        self.moved[folder].add(ending[0])
        return ending[0]


def _listed_split(row: columns.Row, listing: forms.Listing) -> str | None:
    """The split of a row by itself, or by lists of splits; None where nothing says."""
    if row.split or not listing.splits:
        return row.split
    base = row.name.replace("\\", "/").rpartition("/")[2]
    return listing.splits.get(row.name, listing.splits.get(base))


def _folder_split(member: str) -> str | None:
    return next(filter(None, map(columns.split_of, member.split("/")[:-1])), None)


def _problem(old: _Picture, new: _Picture) -> str | None:
    """Why two rows cannot speak of one picture."""
    name, before = columns.brief(new.row.name), old.row.where
    if new.row.name != old.row.name:
        before = f"{before} as {records.shown(old.row.name)}"
    if None not in (old.split, new.split) and new.split != old.split:
        return f"{name} is a {new.split} picture, and a {old.split} one in {before}"
    if new.row.several or old.row.several:
        return f"{name} again, as in {before}"
    said = [(p.row.class_id, p.row.class_name, p.row.box) for p in (old, new)]
    if said[0] != said[1]:
        return f"{name} has another class or box than in {before}"
    return None


def _pictures(source, listing, reader) -> tuple[list[_Picture], _Places]:
    """The pictures in the order of their first rows; problems go to the reader."""
    found: dict[str, _Picture] = {}
    places = _Places(source)
    for where, cells, folder, file_split in listing.rows:
        row = reader.row(where, cells)
        if row is None:
            continue
        split = _listed_split(row, listing)
        if listing.splits and split is None:
            places.unlisted.add(row.name)
            continue
        try:
            member = places.find(row.name, folder)
            split = split or file_split or _folder_split(member)
            picture = _Picture(member, row, split, [*row.captions])
            _join(found.setdefault(member, picture), picture)
        except ValueError as error:
            reader.problems.append(f"{where}: {error}")
    return [*found.values()], places


def _join(old: _Picture, new: _Picture) -> None:
    """Adds the captions of another row of the same picture."""
    if old is new:
        return
    problem = _problem(old, new)
    if problem:
        raise ValueError(problem)
    old.captions += new.captions
    old.split = old.split or new.split


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def _assign(pictures: list[_Picture]) -> tuple[list[tuple[_Picture, str]], str]:
    """Pictures with the split that each is used in, and how it was found, in words."""
    count = collections.Counter(picture.split for picture in pictures)
    tests = next((s for s in ("test", columns.VALIDATION) if count[s]), None)
    used = [
        (picture, "test" if picture.split == tests else "train")
        for picture in pictures
        if picture.split in ("train", None) or (tests and picture.split == tests)
    ]
    if tests is None:
        used, rule = _drawn([picture for picture, _ in used])
        said = [f"{'no test split' if count['train'] else 'no split'}: {rule}"]
    else:
        number = len([split for _, split in used if split == "test"])
        said = [f"{len(used) - number:,} train and {number:,} {tests} pictures"]
        if tests != "test":
            said.append("validation is the test split")
        if count[None]:
            said.append(f"{count[None]:,} without split are train pictures")
    if tests == "test" and count[columns.VALIDATION]:
        left = _count(count[columns.VALIDATION], "validation picture")
        said.append(f"{left} left out")
    return used, "; ".join(said)


def _drawn(pictures: list[_Picture]) -> tuple[list[tuple[_Picture, str]], str]:
    """Test pictures where nothing says which they are."""
    last, number = _TEST_EVERY - 1, len(pictures)
    if number >= 2 * _TEST_EVERY:
        rule = "every tenth is a test picture"
        chosen = {i for i in range(number) if i % _TEST_EVERY == last}
    else:
        # Evaluation compares test pictures with one another, so it needs two.
        rule = "the last two are test pictures"
        chosen = {number - 2, number - 1}
    return [
        (picture, "test" if i in chosen else "train")
        for i, picture in enumerate(pictures)
    ], rule


def _classes(used: list[tuple[_Picture, str]]) -> tuple[list[int], str]:
    """The class number of each picture, and in words what was found."""
    rows = [picture.row for picture, _ in used]
    named = {
        row.class_name: row.class_id
        for row in rows
        if row.class_name and row.class_id is not None
    }
    unused = 1 + max((row.class_id or 0 for row in rows), default=0)
    found = []
    for row in rows:
        number = row.class_id
        if number is None and row.class_name:
            number = named.setdefault(row.class_name, unused)
        if number is None:
            number = unused
        unused = max(unused, number + 1)
        found.append(number)
    own = sum(row.class_id is None and not row.class_name for row in rows)
    if own == len(rows):
        return found, "no class: every picture is its own"
    said = _count(len({*found}) - own, "class", "classes")
    return found, f"{said} ({own:,} pictures have none)" if own else said


def _notes(source, listing, reader, places, used, said) -> list[str]:
    """What was found and, a sentence each, what was not read."""
    captions = sum(len(picture.captions) for picture, _ in used)
    first = [
        listing.form,
        f"{_count(len(used), 'picture')} with {_count(captions, 'caption')}",
    ]
    if listing.columns and reader.caption_keys:
        keys = ", ".join(f"`{records.printable(k)}`" for k in reader.caption_keys)
        first.append(f"column {keys}")
    notes = [", ".join([*first, *said])]
    if reader.problems or listing.problems:
        return notes  # Others are not used only because of their problems.
    if places.unlisted:
        left = _count(len(places.unlisted), "picture")
        notes.append(f"{left} in no list of a split left out: {_some(places.unlisted)}")
    for folder, moved in places.moved.items():
        notes.append(
            f"{_count(len(moved), 'picture')} found in {records.shown(folder)}"
        )
    if reader.unused:
        notes.append(f"columns that are not read: {_some(reader.unused)}")
    if listing.unread:
        notes.append(f"files that are not read: {_some(listing.unread)}")
    listed = {picture.member for picture, _ in used}
    rest = [n for n in source.names if tables.is_picture(n) and n not in listed]
    if rest:
        notes.append(f"{_count(len(rest), 'picture')} not used: {_some(rest)}")
    return notes


def _some(names) -> str:
    found = [records.shown(name) for name in sorted(names)]
    return ", ".join(found[:5]) + (f" and {len(found) - 5:,} more" * (len(found) > 5))


def read(settings: ml_collections.ConfigDict, seed: int) -> records.Found:
    """Records of both splits, in the order of the list, and what is wrong.

    Args:
      settings: `source` is the folder or archive; `caption_column` and
        `ignore_columns` say what its list does not.
      seed: not used; files are what they are.
    """
    source = files.open_source(settings.source)
    listing = forms.find(source)
    reader = columns.Columns(
        caption=settings.caption_column, ignored=_ignored(settings.ignore_columns)
    )
    pictures, places = _pictures(source, listing, reader)
    problems = [*listing.problems, *reader.finish()]
    used, splits = _assign(pictures)
    class_ids, classes = _classes(used)
    found = [
        records.Record(
            split=split,
            name=picture.member,
            captions=picture.captions,
            class_id=class_id,
            class_name=picture.row.class_name,
            read=lambda name=picture.member: source.read(name),
            where=picture.row.where,
            box=picture.row.box,
            box_where=picture.row.where,
        )
        for (picture, split), class_id in zip(used, class_ids, strict=True)
    ]
    if problems and not found:
        return records.Found([], problems)
    notes = _notes(source, listing, reader, places, used, (classes, splits))
    if not found:
        problems = [f"{source.where}: no picture is left of {notes[0]}"]
    return records.Found(found, problems, notes)


def _ignored(keys: str) -> list[str]:
    return [key.strip() for key in keys.split(",") if key.strip()]


def fingerprint(settings: ml_collections.ConfigDict, seed: int) -> str:
    """Hash of the files' names and contents, and of how they are read."""
    parts = [
        _READING,
        files.open_source(settings.source).digest(),
        settings.caption_column,
        ",".join(sorted(_ignored(settings.ignore_columns))),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
