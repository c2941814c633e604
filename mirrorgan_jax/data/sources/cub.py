"""CUB-200-2011 with its captions and class-disjoint split (paper section 4.1).

As people have it: the folder of AttnGAN's users, `CUB_200_2011/{images/, images.txt,
bounding_boxes.txt}`, `text/<class>/<image>.txt` (one caption a line, the first ten
count) and `train|test/{filenames,class_info}.pickle`; or Caltech's archive and the
captions as they were downloaded, unpacked or not (`cub_layout`), captions as AttnGAN's
pickle (`cub_captions`), and without pickles the split that is built in (`cub_split`).
"""

import functools
from collections.abc import Mapping, Sequence

import ml_collections

from mirrorgan_jax.data.sources import (
    cub_captions,
    cub_layout,
    cub_split,
    files,
    records,
)

NEEDS = (
    "the folder that holds CUB_200_2011/ (or CUB_200_2011.tgz), captions (text/,"
    " text_c10/ or captions.pickle) and, if you have them, train/ and test/"
)
CROP_TO_BOX = True
TRUTH = None


def _table(
    place: cub_layout.Place, name: str, columns: int, problems: list[str]
) -> dict[str, tuple[int, list[str]]]:
    """Rows of a text table as {first column: (line number, other columns)}."""
    where = place.where(name)
    try:
        lines = place.read(name).decode("utf-8").splitlines()
    except (OSError, KeyError, ValueError) as error:
        problems.append(f"{where}: cannot be read: {error}")
        return {}
    rows = {}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if fields and len(fields) != columns:
            problems.append(f"{where}:{number}: {len(fields)} fields, not {columns}")
        elif fields and fields[0] in rows:
            shown = records.shown(fields[0])
            problems.append(f"{where}:{number}: {shown} again")
        elif fields:
            rows[fields[0]] = (number, fields[1:])
    return rows


def _pictures(
    place: cub_layout.Place, problems: list[str]
) -> dict[str, tuple[str, str, int]]:
    """{`<class>/<image>`: (id, file name, line)} of all pictures that are listed."""
    found, where = {}, place.where(cub_layout.LISTS[0])
    rows = _table(place, cub_layout.LISTS[0], 2, problems)
    for key, (number, (file,)) in rows.items():
        name = cub_split.picture_name(file)
        if name is None or records.unsafe_path(file):
            shown = records.shown(file)
            problems.append(f"{where}:{number}: {shown} is not a picture's name")
        elif name in found:
            shown = records.shown(name)
            problems.append(f"{where}:{number}: {shown} again")
        else:
            found[name] = (key, file, number)
    return found


def _box(boxes: Mapping, key: str, name: str, where: str, problems: list[str]):
    """The box of picture `key` (None if it is bad) and where it stands."""
    if key not in boxes:
        problems.append(f"{where}: no box for picture {key} ({name})")
        return None, where
    number, fields = boxes[key]
    try:
        return tuple(float(v) for v in fields), f"{where}:{number}"
    except ValueError:
        shown = records.shown(" ".join(fields))
        problems.append(f"{where}:{number}: bad box {shown}: not numbers")
        return None, f"{where}:{number}"


def _split(
    layout: cub_layout.Layout,
    pictures: Mapping[str, object],
    problems: list[str],
    notes: list[str],
) -> dict[str, list[cub_split.Item]]:
    """The pictures of each split that are listed, each once."""
    if not layout.splits:
        return cub_split.built_in(list(pictures), problems)
    found, seen = {}, {}
    lists = layout.pictures.where(cub_layout.LISTS[0])
    for split, items in cub_split.read(layout.splits, problems, notes).items():
        found[split] = []
        for item in items:
            if item.name in seen:
                where = seen[item.name]
                problems.append(f"{item.where} is listed before, in {where}")
            elif item.name not in pictures:
                problems.append(f"{item.where} is not in {lists}")
            else:
                found[split].append(item)
            seen.setdefault(item.name, split)
    both = [{i.class_id for i in own} for own in found.values()]
    shared = len(set.intersection(*both)) if len(both) == 2 else 0
    if shared:
        notes.append(f"{shared} classes are in both splits, unlike in the paper's")
    left = len(pictures) - len(seen)
    if left > 0 and not problems:
        notes.append(f"{left:,} pictures of {lists} are in neither split")
    return found


def _captions(
    layout: cub_layout.Layout,
    items: Mapping[str, Sequence[cub_split.Item]],
    rule: str,
    problems: list[str],
    notes: list[str],
) -> tuple[dict[str, list[str]], tuple[str, ...] | None]:
    """Captions by name of the picture, and the vocabulary of a pickle."""
    texts, pickled = {}, None
    if layout.texts:
        texts = {
            item.name: cub_captions.read_text(layout.texts, item.name, rule, problems)
            for own in items.values()
            for item in own
        }
    if layout.pickled and not problems:
        pickled = cub_captions.read_pickle(layout.pickled, problems)
    if pickled is None:
        return texts, None
    captions, words = pickled
    where = layout.pickled.where(cub_layout.CAPTIONS)
    notes.append(f"{where}: its {len(words):,} words, in its order, are the vocabulary")
    if layout.splits:
        found = cub_captions.by_picture(captions, items, where, problems)
        wrong = texts and not problems and cub_captions.difference(texts, found, where)
        problems += [wrong] if wrong else []
        return texts or found, words
    lacking = cub_captions.unknown(texts, words)
    if not texts:
        problems.append(
            f"{where}: names no pictures; their order is that of"
            " train/filenames.pickle and test/filenames.pickle, which are missing"
        )
    elif lacking:
        shown = ", ".join(map(records.shown, lacking[:5]))
        problems.append(f"{where}: lacks {len(lacking):,} words of captions: {shown}")
    return texts, words


def _missing(layout: cub_layout.Layout) -> list[str]:
    problems = []
    if not layout.pictures:
        problems.append(
            "CUB_200_2011/images.txt: missing, or bounding_boxes.txt beside it:"
            " the folder CUB_200_2011/ of Caltech-UCSD Birds-200-2011 is needed, or its"
            " archive, at most two folders deep"
        )
    if not layout.texts and not layout.pickled:
        problems.append(cub_captions.MISSING)
    return problems and [*problems, *layout.problems]


def _found(layout: cub_layout.Layout, items: Mapping[str, Sequence]) -> str:
    """What was found, in one line."""
    captions = layout.texts and layout.texts.where()
    captions = captions or layout.pickled.where(cub_layout.CAPTIONS)
    split = ", which train/ and test/ list"
    if not layout.splits:
        split = " by the paper's classes (train/ and test/filenames.pickle: missing)"
    counts = " + ".join(f"{len(items.get(split, ())):,}" for split in records.SPLITS)
    return (
        f"CUB-200-2011: pictures of {layout.pictures.where()}, captions of {captions},"
        f" {counts} pictures to train and test{split}"
    )


def read(settings: ml_collections.ConfigDict, seed: int) -> records.Found:
    """Records of both splits, in the order of the pickles, and what is wrong.

    Args:
      settings: `source` is the folder, or archive, described above.
      seed: not used; files are what they are.
    """
    layout = cub_layout.find(settings.source)
    problems, notes = _missing(layout), list(layout.notes)
    if problems:
        return records.Found([], problems, notes)
    place = layout.pictures
    pictures = _pictures(place, problems)
    boxes = _table(place, cub_layout.LISTS[1], 5, problems)
    items = _split(layout, pictures, problems, notes)
    captions, words = _captions(layout, items, settings.words, problems, notes)
    notes.insert(0, _found(layout, items))
    found = []
    for split, own in items.items():
        for item in own:
            key, file, line = pictures[item.name]
            box, box_where = _box(
                boxes, key, item.name, place.where(cub_layout.LISTS[1]), problems
            )
            found.append(
                records.Record(
                    split=split,
                    name=f"{item.name}.jpg",
                    captions=captions.get(item.name, []),
                    class_id=item.class_id,
                    class_name=item.name.split("/")[0],
                    read=functools.partial(place.read, f"images/{file}"),
                    where=f"{place.where(cub_layout.LISTS[0])}:{line}",
                    box=box,
                    box_where=box_where,
                )
            )
    return records.Found(found, problems, notes, words)


def fingerprint(settings: ml_collections.ConfigDict, seed: int) -> str:
    """Hash of all that is read: other contents, another one."""
    opened = files.open_source(settings.source)
    names = cub_layout.relevant(opened.names)
    return opened.digest(names)[:12]
