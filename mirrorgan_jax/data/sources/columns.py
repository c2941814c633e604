"""The keys, or columns, of people's lists: what each says, and what is a slip.

A key that is nearly one of these is refused with the near one: a `Split` or a `bbox`
that nobody reads would change what is trained on in silence.
"""

import dataclasses
import difflib
import functools
import math
import re
from collections.abc import Mapping, Sequence

from mirrorgan_jax.data.sources import records, safe_json

NAMES = ("file_name", "image", "image_name", "filename", "image_path")
CAPTIONS = ("captions", "text", "caption", "comment")
# Which of a picture's captions a row is: nobody needs it.
_NUMBERS = ("comment_number", "caption_number")
_ROLES = {
    **dict.fromkeys(NAMES, "name"),
    **dict.fromkeys(CAPTIONS, "captions"),
    **dict.fromkeys(_NUMBERS, "number"),
    **{key: key for key in ("split", "class_id", "class_name", "box")},
}
# Other words for them, without "_" and in lower case.
_SLIPS = {
    "bbox": "box", "bboxes": "box", "boxes": "box", "boundingbox": "box",
    "label": "class_id", "labels": "class_id", "labelid": "class_id",
    "class": "class_id", "classes": "class_id", "category": "class_id",
    "categoryid": "class_id", "species": "class_name", "categoryname": "class_name",
    "labelname": "class_name", "subset": "split", "partition": "split",
    "fold": "split", "phase": "split",
}  # fmt: skip
_CLASSES = 2**30
VALIDATION = "validation"
_SPLIT_WORDS = {
    "train": "train", "training": "train", "restval": "train",
    "test": "test", "testing": "test",
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION,
    "dev": VALIDATION,
}  # fmt: skip
_SPLIT_IN_NAME = re.compile(
    r"(?<![a-z])(training|train|testing|test|validation|valid|val|dev)(?![a-z])"
)


@dataclasses.dataclass(frozen=True)
class Row:
    """What one row says of one picture.

    Attributes:
      name: the picture's, as it is listed.
      captions: one or more.
      several: whether they came as a list; rows with one caption add up.
      split: "train", "test", "validation", or None.
      class_id: or None.
      class_name: may be empty.
      box: (x, y, width, height), or None.
      where: file and line.
    """

    name: str
    captions: tuple[str, ...]
    several: bool
    split: str | None
    class_id: int | None
    class_name: str
    box: tuple[float, ...] | None
    where: str


def split_of(word: str) -> str | None:
    """The split that a word names, in any letter case, or None."""
    return _SPLIT_WORDS.get(word.strip().casefold())


def split_in(file_name: str) -> str | None:
    """The split that a list's file name speaks of (`captions_val2014.json`)."""
    found = {_SPLIT_WORDS[w] for w in _SPLIT_IN_NAME.findall(file_name.casefold())}
    return found.pop() if len(found) == 1 else None


def brief(name: str) -> str:
    """A name from outside for a message, without quotes."""
    return records.printable(name if len(name) <= 120 else name[:120] + "...")


def _plain(key: str) -> str:
    return re.sub(r"[\s_-]", "", key.casefold())


@functools.lru_cache(1000)
def near(key: str) -> str | None:
    """The key that this one is nearly, or None."""
    plain = _plain(key[:60])
    known = {_plain(name): name for name in _ROLES}
    if plain in known or plain in _SLIPS:
        return known.get(plain) or _SLIPS[plain]
    close = difflib.get_close_matches(plain, known, 1, 0.8)
    return known[close[0]] if close else None


class Columns:
    """Reads rows and remembers what is to be said of their keys.

    Attributes:
      problems: what is wrong, each with its place.
      caption_keys: keys that captions were taken from.
      unused: keys that say nothing here.

    Args:
      caption: the key that captions stand at; "": one of `CAPTIONS`.
      ignored: keys that are not looked at.
    """

    def __init__(self, *, caption: str = "", ignored: Sequence[str] = ()):
        self.problems: list[str] = []
        self.caption_keys: dict[str, None] = {}
        self.unused: dict[str, None] = {}
        self._caption, self._ignored = caption, {*ignored}
        self._slips: dict[tuple[str, str], list[str]] = {}

    def row(self, where: str, found: object) -> Row | None:
        """The row, or None where it has problems."""
        before = len(self.problems)
        if not isinstance(found, Mapping):
            self._say(
                where,
                f'a JSON object with "file_name" is needed, not {records.shown(found)}',
            )
            return None
        given = {k: v for k, v in found.items() if k not in self._ignored}
        self._look_at_keys(where, given)
        name = self._name(where, given)
        captions, several = self._captions(where, given)
        row = Row(
            name=name or "",
            captions=captions,
            several=several,
            split=self._split(where, given.get("split")),
            class_id=self._class_id(where, given.get("class_id")),
            class_name=self._class_name(where, given.get("class_name")),
            box=self._box(where, given.get("box")),
            where=where,
        )
        return row if len(self.problems) == before and name else None

    def finish(self) -> list[str]:
        """All problems, keys that are slips among them once a file."""
        for (_, key), places in self._slips.items():
            others = len(places) - 1
            more = f" (and in {others:,} more rows)" if others else ""
            self.problems.append(
                f"{places[0]}: unknown key {records.shown(key)}{more}: did you mean"
                f' "{near(key)}"? data.ignore_columns names what shall not be read'
            )
        return self.problems

    def _say(self, where, what):
        self.problems.append(f"{where}: {what}")

    def _look_at_keys(self, where, given):
        filled = {_ROLES[k] for k in given if k in _ROLES and given[k] is not None}
        if self._caption:
            filled.add("captions")
        if filled & {"class_id", "class_name"}:
            filled |= {"class_id", "class_name"}
        for key in given:
            if key in _ROLES or key == self._caption:
                continue
            slip = near(key)
            if slip and _ROLES[slip] not in filled:
                file = where.partition(":")[0]
                self._slips.setdefault((file, key), []).append(where)
            else:
                self.unused[key] = None

    def _name(self, where, given):
        keys = [key for key in NAMES if given.get(key) is not None]
        if not keys:
            keys = ", ".join(map(records.shown, [*given][:8]))
            self._say(where, f'no "file_name" among its keys: {keys or "none"}')
            return None
        self.unused.update(dict.fromkeys(keys[1:]))
        name = given[keys[0]]
        if not isinstance(name, str):
            self._say(where, f"{keys[0]} {records.shown(name)} is no text")
            return None
        if records.unsafe_path(name):
            self._say(where, f"file name {records.shown(name)} leaves the folder")
            return None
        return name

    def _captions(self, where, given):
        keys = [self._caption] if self._caption else CAPTIONS
        keys = [key for key in keys if given.get(key) is not None]
        if len(keys) > 1:
            listed = " and ".join(f'"{key}"' for key in keys)
            self._say(where, f"{listed}: data.caption_column says which is meant")
        elif not keys:
            wanted = f'"{brief(self._caption)}"' if self._caption else (
                '"text" or "captions"')  # fmt: skip
            there = ", ".join(map(records.shown, [*given][:8]))
            self._say(
                where,
                f"no caption: {wanted} is needed, there are {there};"
                " data.caption_column names another",
            )
        if len(keys) != 1:
            return (), False
        self.caption_keys[keys[0]] = None
        return self._texts(where, keys[0], given[keys[0]])

    def _texts(self, where, key, value):
        several = isinstance(value, list | tuple)
        if isinstance(value, str) and re.fullmatch(r"\s*\[.*\]\s*", value, re.DOTALL):
            try:
                value, several = safe_json.loads(value.strip(), where), True
            except ValueError:
                self._say(
                    where,
                    f"{key} {records.shown(value)}: a list must be one of JSON,"
                    ' ["...", "..."]',
                )
                return (), False
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list | tuple) or not value:
            self._say(
                where, f'"{brief(key)}" must be a text, or a list of at'
                f" least one: {records.shown(value)}"
            )  # fmt: skip
            return (), False
        for number, caption in enumerate(value):
            at = f"caption {number} {records.shown(caption)}" if several else (
                f"caption {records.shown(caption)}")  # fmt: skip
            if not isinstance(caption, str):
                self._say(where, f"{at} is no text")
        return tuple(c for c in value if isinstance(c, str)), several

    def _split(self, where, value):
        if value is None:
            return None
        split = split_of(value) if isinstance(value, str) else None
        if split is None:
            self._say(
                where,
                f"unknown split {records.shown(value)}; allowed: train, test,"
                " validation",
            )
        return split

    def _class_id(self, where, value):
        # Whoever writes tables makes 3.0 of a 3 beside an empty cell.
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}(\.0)?", value):
            value = int(value.partition(".")[0])
        if value is None:
            return None
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not 0 <= value < _CLASSES:
            self._say(
                where, f"class_id {records.shown(value)} is no whole number from 0"
            )
            return None
        return value

    def _class_name(self, where, value):
        if value is not None and not isinstance(value, str):
            self._say(where, f"class_name {records.shown(value)} is no text")
            return ""
        return value or ""

    def _box(self, where, value):
        if value is None:
            return None
        box = value
        if isinstance(value, str):
            parts = value.strip().strip("[]()").replace(",", " ").split()
            try:
                box = [float(part) for part in parts]
            except ValueError:
                box = None
        numbers = isinstance(box, list | tuple) and len(box) == 4
        numbers = numbers and all(
            isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)
            for v in box
        )
        if not numbers:
            self._say(
                where,
                f"bad box {records.shown(value)}: [x, y, width, height] is needed",
            )
            return None
        return tuple(float(v) for v in box)
