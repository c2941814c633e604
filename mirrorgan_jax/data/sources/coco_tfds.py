"""MS COCO as TensorFlow Datasets prepares it, `coco_captions` (paper section 4.1).

Its `train` is COCO's training set; COCO's validation set, the paper's test split, is
cut into `val`, `test` and `restval` (Karpathy and Li, CVPR 2015), which are put
together again. A prepared folder holds dataset_info.json and shards of serialised
examples, such as `coco_captions-train.tfrecord-00000-of-00064`.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import ml_collections

from mirrorgan_jax import progress
from mirrorgan_jax.data import captions as checks
from mirrorgan_jax.data.sources import files, records, safe_json, tfds_shards

NAME = "coco_captions"
# Pictures of TFDS's splits of 2014; all but the first are the paper's test split.
SPLITS = {"train": 82_783, "val": 5_000, "test": 5_000, "restval": 30_504}
INFO = "dataset_info.json"
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


class _Shard(NamedTuple):
    """A file of examples.

    Attributes:
      name: of the file.
      split: of TFDS.
      count: examples that it should hold.
    """

    name: str
    split: str
    count: int


def find(source: str | os.PathLike) -> pathlib.Path | None:
    """The prepared folder that a source means, or None where it holds none.

    Args:
      source: a prepared folder, or a `coco_captions` folder or data_dir of TFDS. Where
        `annotations/` of the official layout is there too, that is meant.

    Raises:
      records.DataError: it holds several.
    """
    root = pathlib.Path(source).expanduser()
    if not root.is_dir() or (root / "annotations").is_dir():
        return None
    if (root / INFO).exists():
        return root
    home = root if NAME in root.resolve().parts[-2:] else root / NAME
    found = sorted(path.parent for path in home.rglob(INFO))
    if len(found) > 1:
        listed = ", ".join(path.relative_to(root).as_posix() for path in found)
        problem = f"{len(found)} prepared {NAME}: {listed}; give the folder of one"
        raise records.DataError(source, [problem])
    return found[0] if found else None


def _info(opened: files.Files) -> dict:
    """The contents of dataset_info.json.

    Raises:
      ValueError: one sentence why its data cannot be read.
    """
    try:
        data = opened.read(INFO, limit=safe_json.LIMIT)
    except (OSError, ValueError) as error:
        raise ValueError(f"{INFO}: cannot be read: {error}") from None
    found = safe_json.loads(data, INFO)
    if not isinstance(found, dict) or not isinstance(found.get("splits"), list):
        raise ValueError(f'{INFO}: a JSON object with a list "splits" is needed')
    if found.get("name") != NAME:
        name = records.shown(found.get("name"))
        raise ValueError(f"{INFO}: the data set {name} is not {NAME!r}")
    # Not written before TFDS had other formats.
    kind = found.setdefault("fileFormat", "tfrecord")
    if kind not in tfds_shards.FORMATS:
        raise ValueError(
            f"{INFO}: fileFormat {records.shown(kind)} is not read; allowed are"
            f" {', '.join(tfds_shards.FORMATS)}: prepare {NAME} as one of these"
        )
    return found


def _count(value: Any) -> int:
    """Examples of a shard, a string in TFDS's JSON; -1 where it is no number."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value[:18])
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and value >= 0 else -1


def _split_shards(split: Any, kind: str) -> list[_Shard]:
    """The shards of a split as dataset_info.json describes it.

    Raises:
      ValueError: it is not described as TFDS does.
    """
    split = split if isinstance(split, dict) else {}
    name, lengths = split.get("name"), split.get("shardLengths", [])
    counts = [_count(n) for n in lengths] if isinstance(lengths, list) else [-1]
    where = f"{INFO}: split {records.shown(name)}"
    if not isinstance(name, str) or -1 in counts:
        raise ValueError(
            f'{where}: a name and a list "shardLengths" of whole numbers are needed'
        )
    template = split.get("filepathTemplate", _TEMPLATE)
    if template != _TEMPLATE:
        shown = records.shown(template)
        raise ValueError(f"{where}: filepathTemplate {shown} must be {_TEMPLATE!r}")
    return [
        _Shard(f"{NAME}-{name}.{kind}-{i:05}-of-{len(counts):05}", name, count)
        for i, count in enumerate(counts)
    ]


def _by_split(info: dict, problems: list[str], notes: list[str]) -> list[_Shard]:
    """The shards in the order of `SPLITS`; says which splits there are not."""
    found = {split: [] for split in SPLITS}
    for split in info["splits"]:
        for shard in _split_shards(split, info["fileFormat"]):
            found.setdefault(shard.split, []).append(shard)
    if not found["train"]:
        problems.append(f"{INFO}: no split 'train'")
    notes += [
        f"{INFO}: no split {split!r}: its {size:,} pictures are not in the test split"
        for split, size in SPLITS.items()
        if not found[split] and split != "train"
    ]
    notes += [
        f"{INFO}: split {records.shown(split)} is left out"
        for split in found
        if split not in SPLITS
    ]
    return [shard for split in SPLITS for shard in found[split]]


def _present(
    opened: files.Files,
    listed: Sequence[_Shard],
    subset: bool,
    problems: list[str],
    notes: list[str],
) -> list[_Shard]:
    """The shards that are there; that others are missing is a problem or a note."""
    present = [shard for shard in listed if shard.name in opened.names]
    absent = [shard.name for shard in listed if shard.name not in opened.names]
    if absent:
        more = ", ..." if len(absent) > 1 else ""
        said = (
            f"{len(absent)} of the {len(listed)} shards that {INFO} lists are missing"
            f" ({records.printable(absent[0])}{more})"
        )
        if subset and present:
            notes.append(f"a subset: {said}")
        else:
            advice = "; data.subset = True goes on with the others" if present else ""
            problems.append(f"{said}{advice}")
    return present


def _picture(read: tfds_shards.Read) -> bytes:
    return tfds_shards.values(read())["image"][0]


def _one(values: dict[str, Sequence], name: str, kind: type) -> Any:
    """The value of a feature that has one of this type.

    Raises:
      ValueError: it has not.
    """
    found = values.get(name, ())
    if len(found) != 1 or not isinstance(found[0], kind):
        raise ValueError(f"feature {name!r}: one {kind.__name__} is needed")
    return found[0]


@dataclasses.dataclass
class _Reading:
    """Makes records of examples.

    Attributes:
      counted: captions of a picture that count; they must have words.
      rule: of words, `data.words`.
      problems: takes what is wrong.
      seen: {id of a picture: its shard}.
    """

    counted: int
    rule: str
    problems: list[str]
    seen: dict[int, str] = dataclasses.field(default_factory=dict)

    def of_shard(
        self, path: pathlib.Path, shard: _Shard, kind: str
    ) -> Iterator[records.Record | None]:
        """The record of each example, with all its captions, or None."""
        number = 0
        try:
            for read, data in tfds_shards.examples(path, kind, shard.count):
                yield self._record(shard, number, read, data)
                number += 1
        except (OSError, ValueError) as error:
            self.problems.append(f"{shard.name}: {error}")

    def _record(self, shard, number, read, data) -> records.Record | None:
        where = f"{shard.name}: record {number}"
        try:
            values = tfds_shards.values(data)
            key = _one(values, "image/id", int)
            where = f"{shard.name}: image {key}"
            if key in self.seen:
                raise ValueError(f"it is in {self.seen[key]} too")
            self.seen[key] = shard.name
            name = _one(values, "image/filename", bytes).decode("utf-8", "replace")
            if records.unsafe_path(name) or "/" in name:
                shown = records.shown(name)
                raise ValueError(f"image/filename {shown} is not the name of a file")
            _one(values, "image", bytes)
        except ValueError as error:
            self.problems.append(f"{where}: {error}")
            return None
        return records.Record(
            split="train" if shard.split == "train" else "test",
            name=name,
            captions=self._captions(values.get("captions/text", ()), where),
            class_id=0,
            class_name="",
            read=functools.partial(_picture, read),
            where=where,
        )

    def _captions(self, texts: Sequence, where: str) -> list[str]:
        found = []
        for text in texts:
            try:
                caption = text.decode("utf-8").strip()
            except (AttributeError, UnicodeDecodeError):
                shown = records.shown(text)
                self.problems.append(f"{where}: caption {shown} is no text in UTF-8")
                continue
            reason = None
            if len(found) < self.counted:
                reason = checks.problem(caption, self.rule)
            if reason:
                self.problems.append(f"{where}: {reason}")
            else:
                found.append(caption)
        if not texts:
            self.problems.append(f"{where}: no caption")
        return found


def read(
    folder: pathlib.Path, settings: ml_collections.ConfigDict, *, counted: int
) -> records.Found:
    """Records of a prepared folder, shard by shard, all of class 0.

    Args:
      folder: what `find` gives.
      settings: the `data` group; with `subset` shards may be missing, as long as some
        are there.
      counted: captions of a picture that count, the first ones.

    Raises:
      records.DataError: its dataset_info.json describes no data that can be read.
    """
    opened = files.open_source(folder)
    problems, notes = [], []
    try:
        info = _info(opened)
        shards = _by_split(info, problems, notes)
    except ValueError as error:
        raise records.DataError(folder, [str(error)]) from None
    shards = _present(opened, shards, settings.subset, problems, notes)
    reading = _Reading(counted, settings.words, problems)
    examples = (
        record
        for shard in shards
        for record in reading.of_shard(folder / shard.name, shard, info["fileFormat"])
    )
    total = sum(shard.count for shard in shards)
    everything = progress.counted(examples, total, f"reading {NAME}")
    found = [record for record in everything if record is not None]
    sizes = [len(record.captions) for record in found]
    further = sum(max(0, size - counted) for size in sizes)
    if further:
        notes.append(
            f"{NAME}: {sum(sizes):,} captions, of which {further:,} beyond the first"
            f" {counted} of a picture are left out"
        )
    return records.Found(
        [dataclasses.replace(r, captions=r.captions[:counted]) for r in found],
        problems,
        notes,
    )


def digest(folder: pathlib.Path) -> str:
    """Hash of dataset_info.json and of the shards."""
    opened = files.open_source(folder)
    return opened.digest(
        name for name in opened.names if name == INFO or name.startswith(f"{NAME}-")
    )
