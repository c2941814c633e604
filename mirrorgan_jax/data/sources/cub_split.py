"""Which pictures of CUB-200-2011 are for training and which for tests.

The split of the paper keeps classes apart: 150 to train on, 50 to test on. AttnGAN's
users have it as pickles of names and class numbers; where there are none, the numbers
of the test classes, below, give the same 8,855 and 2,933 pictures.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mirrorgan_jax.data.sources import cub_layout, records

# From the names that the pickles list.
_TEST = """
  1   4   6   8   9  14  23  29  31  33  34  35  36  37  38  43  49
 51  53  66  72  79  83  84  86  91  95  96  98 101 102 103 112 114
119 121 130 135 138 147 156 163 165 166 180 183 185 186 187 197
"""
TEST_CLASSES = frozenset(map(int, _TEST.split()))
_NAME = re.compile(r"([^/]+/[^/]+?)(\.jpe?g)?", re.IGNORECASE)


class Item(NamedTuple):
    """One picture of a split.

    Attributes:
      name: `<class>/<image>`, without ending.
      class_id: number of its class.
      where: which item of which file lists it; "" where the split is built in.
    """

    name: str
    class_id: int
    where: str


def picture_name(listed: object) -> str | None:
    """`<class>/<image>` of a listed name, or None if it is no picture's name.

    Names are written with folders before them, backslashes, `.jpg`, or as bytes.
    """
    if isinstance(listed, bytes):
        listed = listed.decode("latin1")
    if not isinstance(listed, str):
        return None
    parts = [p for p in listed.replace("\\", "/").split("/") if p not in ("", ".")]
    match = _NAME.fullmatch("/".join(parts[-2:]))
    # Names are of ASCII in this data set, and stand in messages.
    whole = match and ".." not in parts and listed.isascii() and listed.isprintable()
    return match[1] if whole else None


def class_number(name: str) -> int | None:
    """The number that a picture's folder begins with, as in `002.Laysan_Albatross`."""
    match = re.match(r"(\d{1,6})\.", name)
    return int(match[1]) if match else None


def built_in(names: Sequence[str], problems: list[str]) -> dict[str, list[Item]]:
    """The split of pictures by the numbers of their classes, in their order."""
    found = {split: [] for split in records.SPLITS}
    for name in names:
        number = class_number(name)
        if number is None:
            shown = records.shown(name)
            problems.append(f"{shown}: no number of a class, as in 001.Name/...")
            continue
        split = "test" if number in TEST_CLASSES else "train"
        found[split].append(Item(name, number, ""))
    return found


def read(
    places: Mapping[str, cub_layout.Place], problems: list[str], notes: list[str]
) -> dict[str, list[Item]]:
    """The split that pickles give.

    Args:
      places: the folders of `filenames.pickle`, and perhaps `class_info.pickle`.
      problems: what is wrong is appended here.
      notes: how names were read is appended here.
    """
    found, numbers, folders = {}, {}, {}
    for split in records.SPLITS:
        if split not in places:
            problems.append(
                f"{split}/{cub_layout.SPLIT}: missing, and that of the other split is"
                " there; without both the paper's split is taken, which is built in"
            )
            continue
        found[split] = []
        for item in _items(places[split], problems, notes):
            folder = item.name.partition("/")[0]
            known = numbers.setdefault(folder, item.class_id)
            other = folders.setdefault(item.class_id, folder)
            if known != item.class_id:
                problems.append(
                    f"{item.where}: class {item.class_id}, but others of its folder"
                    f" have {known}"
                )
            elif other != folder:
                shown = records.shown(other)
                problems.append(
                    f"{item.where}: class {item.class_id} is that of {shown} too"
                )
            found[split].append(item)
    return found


def _list(place: cub_layout.Place, name: str, problems: list[str]) -> list:
    value = cub_layout.unpickled(place, name, problems)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        problems.append(f"{place.where(name)}: {records.shown(value)}, not a list")
        return []
    if not value:
        problems.append(f"{place.where(name)}: lists no picture")
    return list(value)


def _items(
    place: cub_layout.Place, problems: list[str], notes: list[str]
) -> list[Item]:
    names, classes = _list(place, cub_layout.SPLIT, problems), []
    if place.holds(cub_layout.CLASSES):
        classes = _list(place, cub_layout.CLASSES, problems)
    if names and classes and len(names) != len(classes):
        problems.append(
            f"{place.where(cub_layout.CLASSES)}: {len(classes)} classes for"
            f" {len(names)} pictures"
        )
    items, adapted = [], None
    for i, listed in enumerate(names[: len(classes)] if classes else names):
        name, where = picture_name(listed), f"{place.where(cub_layout.SPLIT)}: item {i}"
        number = classes[i] if classes else class_number(name or "")
        if name is None:
            shown = records.shown(listed)
            problems.append(f"{where}: {shown} is not a picture's name")
        elif type(number) is not int or not 0 <= number < 2**30:
            what = records.shown(number)
            problems.append(
                f"{place.where(cub_layout.CLASSES)}: item {i}: {what} is no class"
                if classes
                else f"{where}: {records.shown(name)} has no number of a class"
            )
        else:
            items.append(Item(name, number, f"{where}: {name}"))
            if adapted is None and listed not in (name, name.encode("latin1")):
                adapted = f"{records.shown(listed)} is read as {name}"
    if adapted:
        notes.append(f"{place.where(cub_layout.SPLIT)}: {adapted}, others likewise")
    return items
