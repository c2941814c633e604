"""Which of the usual forms somebody's captions are in, and the rows of each.

Looked for in this order: `metadata.jsonl`, `.csv`, `.parquet` or `.json` (Hugging Face
image folders); a JSON list; a table with a row a caption; a text file beside each
picture. What could be two of them is refused.
"""

import dataclasses
import itertools
import re

from mirrorgan_jax.data.sources import columns, files, json_lists, records, tables

# The nearest form, for whoever has none.
HELP = (
    "the simplest is metadata.jsonl beside the pictures, a line each:"
    ' {"file_name": "a.jpg", "text": "a small red bird"}; or metadata.csv with the'
    " columns file_name,text; or a.txt beside each a.jpg"
)
_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet", "metadata.json")
_BESIDE = (".txt", ".caption")
_LISTS = 20  # files that are looked into
_SPLIT_LIST = re.compile(r"(?:.*[^a-z])?(train|dev|val|test)_?images\.txt")
_BEGIN = 8192  # bytes by which a table is known


@dataclasses.dataclass
class Listing:
    """What lists the pictures.

    Attributes:
      form: in words, with its files.
      rows: (place, {key: value}, folder that names are relative to, split that the
        file's name says or None) of each.
      problems: what is wrong.
      splits: split of each picture's name where lists beside the captions say so;
        pictures in none of them belong to no split.
      unread: files that look like lists and were not read.
      columns: whether its keys are those of its writer's choice.
    """

    form: str
    rows: list[tuple[str, object, str, str | None]] = dataclasses.field(
        default_factory=list
    )
    problems: list[str] = dataclasses.field(default_factory=list)
    splits: dict[str, str] = dataclasses.field(default_factory=dict)
    unread: list[str] = dataclasses.field(default_factory=list)
    columns: bool = True


def find(source: files.Files) -> Listing:
    """The list of a data set; its problems say what could not be told."""
    others = [name for name in source.names if not tables.is_picture(name)]
    for look in (_metadata, _json, _table, _beside):
        listing = look(source, others)
        if listing is not None:
            return listing
    return Listing("", problems=[f"{source.where}: {_nothing(source, others)}"])


def _nothing(source, others) -> str:
    count = len(source.names) - len(others)
    if not count and any(name.lower().endswith(".parquet") for name in others):
        return (
            "Parquet files and no pictures: save the pictures of the data set as files"
            f" and their captions beside them; {HELP}"
        )
    if any(name.endswith("CUB_200_2011/images.txt") for name in others):
        return "this is CUB-200-2011, which --config=cub reads"
    there = (
        f"{count:,} pictures and no list" if count else "neither pictures nor a list"
    )
    if others:
        seen = ", ".join(records.shown(name) for name in others[:5])
        more = f" and {len(others) - 5:,} more" if len(others) > 5 else ""
        there = f"{there} of captions that is known in {seen}{more}"
    return f"{there}; {HELP}"


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _listed(names) -> str:
    found = [records.printable(name) for name in names]
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" * (len(found) > 3))


def _read(source, name: str, listing: Listing) -> bytes:
    try:
        return source.read(name)
    except (OSError, KeyError, ValueError) as error:
        listing.problems.append(f"{records.printable(name)}: {error}")
        return b""


def _rows(name: str, data: bytes, listing: Listing) -> tables.Rows:
    """Rows of a list by its ending."""
    ending = name.lower().rpartition(".")[2]
    if ending == "jsonl":
        return tables.json_lines(name, data, listing.problems)
    if ending == "parquet":
        return tables.parquet(name, data, listing.problems)
    if ending == "json":
        try:
            form = json_lists.parse(name, data)
        except ValueError as error:
            listing.problems.append(str(error))
            return []
        return form.rows(records.printable(name), listing.problems) if form else []
    header = _base(name).lower() in _METADATA
    return tables.table(name, data, listing.problems, header=header)


def _several(form: str, chosen: list[str], source, *, split_by_name: bool) -> Listing:
    """The rows of all these files."""
    listing = Listing(f"{form} ({_listed(chosen)})")
    for name in chosen:
        data = _read(source, name, listing)
        split = columns.split_in(_base(name)) if split_by_name else None
        before = len(listing.problems)
        rows = _rows(name, data, listing) if data else []
        if not rows and len(listing.problems) == before:
            listing.problems.append(
                f"{records.printable(name)}: lists no picture; {HELP}"
            )
        listing.rows += [(where, row, _folder(name), split) for where, row in rows]
    return listing


def _alternatives(chosen: list[str], what: str) -> Listing | None:
    """A refusal where two lists speak of the same split."""
    by_split: dict[object, list[str]] = {}
    for name in chosen:
        by_split.setdefault(columns.split_in(_base(name)), []).append(name)
    for split, names in by_split.items():
        if len(names) > 1 or (split is None and len(chosen) > 1):
            first, *others = dict.fromkeys([*names, *chosen])
            return Listing(what, problems=[
                f"{records.printable(first)} and {_listed(others)} all list captions:"
                " leave one of them, or name them train.csv, test.csv or the like"
            ])  # fmt: skip
    return None


def _metadata(source, others) -> Listing | None:
    chosen = [name for name in others if _base(name).lower() in _METADATA]
    if not chosen:
        return None
    form = "Hugging Face image folder"
    for folder, names in itertools.groupby(sorted(chosen), _folder):
        first, *more = names
        if more:
            return Listing(form, problems=[
                f"{records.printable(first)} and {_listed(more)} list the same folder"
                f" {records.shown(folder)}: leave one of them"
            ])  # fmt: skip
    return _several(form, chosen, source, split_by_name=False)


def _json(source, others) -> Listing | None:
    """JSON files that list captions, one, or one a split."""
    looked = [name for name in others if name.lower().endswith(".json")]
    if len(looked) > _LISTS:
        return None  # rather one beside each picture, of a tool of its own
    forms, unread, probe = {}, [], Listing("JSON")
    for name in looked:
        data = _read(source, name, probe)
        try:
            form = json_lists.parse(name, data) if data else None
        except ValueError as error:
            probe.problems.append(str(error))
            continue
        if form:
            forms[name] = form
        else:
            unread.append(name)
    if probe.problems:
        return probe
    if not forms:
        return None
    refused = _alternatives([*forms], "JSON")
    if refused:
        return refused
    titles = " and ".join(dict.fromkeys(form.title for form in forms.values()))
    listing = Listing(f"{titles} ({_listed(forms)})", unread=unread)
    listing.columns = all(form.columns for form in forms.values())
    for name, form in forms.items():
        rows = form.rows(records.printable(name), listing.problems)
        split = columns.split_in(_base(name))
        listing.rows += [(where, row, _folder(name), split) for where, row in rows]
    return listing


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _table(source, others) -> Listing | None:
    """Tables, known by their first line, one or one a split."""
    stems = {_stem(name) for name in source.names if tables.is_picture(name)}
    endings = (".csv", ".tsv", ".txt", ".token", ".jsonl", ".parquet")
    looked = [
        name
        for name in others
        if name.lower().endswith(endings) and _stem(name) not in stems
    ]
    if len(looked) > _LISTS:
        return None
    chosen, splits, unread = [], {}, []
    for name in looked:
        is_split = _SPLIT_LIST.fullmatch(_base(name).lower())
        if is_split:
            splits[name] = columns.split_of(is_split[1])
        elif _is_table(source, name):
            chosen.append(name)
        else:
            unread.append(name)
    if not chosen:
        return None
    refused = _alternatives(chosen, "table")
    if refused:
        return refused
    listing = _several("a row a caption", chosen, source, split_by_name=True)
    listing.unread = unread
    for name, split in splits.items():
        _add_splits(listing, source, name, split)
    return listing


def _is_table(source, name) -> bool:
    if name.lower().endswith((".jsonl", ".parquet")):
        return True
    try:
        return tables.form_of(source.read(name)[:_BEGIN]) is not None
    except (OSError, ValueError, KeyError):
        return False


def _add_splits(listing, source, name, split) -> None:
    """The pictures of a list such as `Flickr_8k.trainImages.txt`."""
    for number, line in enumerate(_read(source, name, listing).splitlines(), 1):
        picture = line.decode("utf-8", "replace").strip()
        if not picture:
            continue
        before = listing.splits.setdefault(picture, split)
        if before != split:
            listing.problems.append(
                f"{records.printable(name)}:{number}: {records.shown(picture)} is a"
                f" {before} picture in another list"
            )


def _beside(source, others) -> Listing | None:
    """`a.txt` beside `a.jpg`, a caption a line."""
    texts = {_stem(n): n for n in others if n.lower().endswith(_BESIDE)}
    pictures = [name for name in source.names if tables.is_picture(name)]
    used = {stem for stem in map(_stem, pictures) if stem in texts}
    if not used:
        return None
    listing = Listing("a text file beside each picture", columns=False)
    for name in pictures:
        text = texts.get(_stem(name))
        if text is None:
            listing.problems.append(
                f"{records.printable(name)}: no"
                f" {records.printable(_base(_stem(name)))}.txt beside it"
            )
            continue
        try:
            lines = tables.decoded(_read(source, text, listing)).splitlines()
        except ValueError as error:
            listing.problems.append(f"{records.printable(text)}: {error}")
            continue
        row = {"file_name": _base(name), "captions": [x for x in lines if x.strip()]}
        listing.rows.append((records.printable(text), row, _folder(name), None))
    listing.unread = [text for stem, text in texts.items() if stem not in used]
    return listing
