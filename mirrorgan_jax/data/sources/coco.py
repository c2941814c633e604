"""MS COCO with its captions, in the official layout or TFDS's (paper section 4.1).

The folder, or an archive of it, holds `annotations/captions_{train,val}2014.json`,
`train2014/` and `val2014/`, or the same of 2017 (another split than the paper's). The
validation pictures are the test split; the first five captions of a picture count.
There are no classes: every picture is its own, and any other is its mismatch. What
TensorFlow Datasets has prepared of 2014 is read by `coco_tfds`.
"""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import ml_collections

from mirrorgan_jax.data.sources import coco_json, coco_tfds, files, records

NEEDS = (
    "the folder that holds annotations/, train2014/ and val2014/ of COCO, or TFDS's"
    " coco_captions"
)
CROP_TO_BOX = False
TRUTH = None

CAPTIONS_PER_IMAGE = 5
# Pictures of the official files; those of 2014 are the paper's.
PICTURES = {
    "2014": {"train": 82_783, "test": 40_504},
    "2017": {"train": 118_287, "test": 5_000},
}
_PARTS = {"train": "train", "test": "val"}
_NAMED = 3


class _Part(NamedTuple):
    """Where a split lies.

    Attributes:
      split: "train" or "test".
      captions: name of its JSON file.
      folder: name of the folder of its pictures.
    """

    split: str
    captions: str
    folder: str


class _Counts(NamedTuple):
    """What there is of a split.

    Attributes:
      listed: pictures that the JSON file lists.
      captions: captions of them.
      further: captions beyond the first five.
      present: pictures that are listed and there.
      ignored: files in the folder of pictures that are not listed.
    """

    listed: int
    captions: int
    further: int
    present: int
    ignored: int


def _parts(year: str) -> list[_Part]:
    return [
        _Part(split, f"annotations/captions_{part}{year}.json", f"{part}{year}")
        for split, part in _PARTS.items()
    ]


def _opened(settings: ml_collections.ConfigDict) -> tuple[files.Files, str]:
    """The files and their year.

    Raises:
      records.DataError: neither year's captions are there.
    """
    opened = files.open_source(settings.source)
    for year in PICTURES:
        if any(part.captions in opened.names for part in _parts(year)):
            return opened, year
    wanted = _parts("2014")[0].captions
    problem = f"{wanted}: missing"
    near = [name for name in opened.names if name.endswith(f"/{wanted}")]
    packed = [name for name in opened.names if name.startswith("annotations_trainval")]
    shards = [name for name in opened.names if f"/{coco_tfds.NAME}-" in f"/{name}"]
    if near:
        home = records.printable(near[0].removesuffix(f"/{wanted}"))
        problem += f", but it is in {home}/: give {opened.where}/{home}"
    elif packed:
        problem += f", but {records.printable(packed[0])} is there: unpack it"
    elif shards:
        problem += (
            f", but {records.printable(shards[0])} is there without"
            f" {coco_tfds.INFO}: let TFDS prepare it to its end"
        )
    raise records.DataError(settings.source, [problem])


def _members(
    opened: files.Files, part: _Part, pictures: dict[int, str], problems: list[str]
) -> dict[int, str]:
    """{id: file} of the listed pictures that are there."""
    found, users = {}, {}
    for key, name in pictures.items():
        place = f"{part.captions}: image {key}"
        try:
            member = opened.find(f"{part.folder}/{name}") if name else None
        except ValueError as error:
            problems.append(f"{place}: {error}")
            continue
        if member in users:
            shown = records.printable(member)
            problems.append(f"{place}: {shown} is that of image {users[member]} too")
        elif member is not None:
            found[key] = member
            users[member] = key
    return found


def _missing(
    part: _Part, pictures: dict[int, str], present: dict[int, str]
) -> str | None:
    """One sentence on the listed pictures that are not there, or None."""
    absent = [name for key, name in pictures.items() if name and key not in present]
    if not absent:
        return None
    names = ", ".join(records.printable(name) for name in absent[:_NAMED])
    more = ", ..." if len(absent) > _NAMED else ""
    return (
        f"{part.folder}/: {len(absent):,} of the {len(pictures):,} pictures that"
        f" {part.captions} lists are missing ({names}{more})"
    )


def _read_part(
    opened: files.Files, part: _Part, problems: list[str], settings
) -> tuple[list[records.Record], _Counts] | None:
    """Records, still of one class, and counts; None where there are no captions."""
    listed = coco_json.read(
        opened, part.captions, problems,
        counted=CAPTIONS_PER_IMAGE, rule=settings.words,
    )  # fmt: skip
    if listed is None:
        return None
    present = _members(opened, part, listed.pictures, problems)
    missing = _missing(part, listed.pictures, present)
    if missing and not (settings.subset and present):
        advice = "; data.subset = True goes on with the others" if present else ""
        problems.append(f"{missing}{advice}")
    found = [
        records.Record(
            split=part.split,
            name=member,
            captions=listed.captions[key][:CAPTIONS_PER_IMAGE],
            class_id=0,
            class_name="",
            read=functools.partial(opened.read, member),
            where=f"{part.captions}: image {key}",
        )
        for key, member in present.items()
    ]
    sizes = [len(captions) for captions in listed.captions.values()]
    inside = sum(name.startswith(f"{part.folder}/") for name in opened.names)
    return found, _Counts(
        listed=len(listed.pictures),
        captions=sum(sizes),
        further=sum(max(0, size - CAPTIONS_PER_IMAGE) for size in sizes),
        present=len(present),
        ignored=inside - len(present),
    )


def _split(name: str, present: dict[str, int], *, papers: bool) -> str:
    """What was found, and whether it is the paper's split."""
    paper = PICTURES["2014"]
    also = (
        "the paper's split"
        if papers and present == paper
        else f"not the paper's {paper['train']:,} and {paper['test']:,} of 2014"
    )
    return (
        f"{name}, {present['train']:,} train and {present['test']:,} test pictures"
        f" ({also}); every picture is a class of its own"
    )


def _notes(year: str, found: dict[_Part, _Counts]) -> Iterator[str]:
    """What was found, and what does not count."""
    present = {part.split: counts.present for part, counts in found.items()}
    yield _split(f"COCO {year}", present, papers=year == "2014")
    for part, counts in found.items():
        if counts.present < counts.listed:
            yield (
                f"a subset: {counts.present:,} of the {counts.listed:,} pictures that"
                f" {part.captions} lists are there"
            )
        if counts.further:
            yield (
                f"{part.captions}: {counts.captions:,} captions, of which"
                f" {counts.further:,} beyond the first five of a picture are left out"
            )
        if counts.ignored:
            yield (
                f"{part.folder}/: left out, because {part.captions} does not list"
                f" them: {counts.ignored:,} of its files"
            )


def _read_official(settings: ml_collections.ConfigDict) -> records.Found:
    """Records, still of one class, in the order of the JSON files."""
    opened, year = _opened(settings)
    problems, everything, counted = [], [], {}
    for part in _parts(year):
        found = _read_part(opened, part, problems, settings)
        if found is not None:
            everything += found[0]
            counted[part] = found[1]
    notes = list(_notes(year, counted)) if len(counted) == len(_PARTS) else []
    notes += [
        f"{part.captions} is left out beside that of {year}"
        for other in PICTURES
        for part in _parts(other)
        if other != year and part.captions in opened.names
    ]
    return records.Found(everything, problems, notes)


def _read_tfds(folder: pathlib.Path, settings) -> records.Found:
    """Records, still of one class, in the order of the shards."""
    found = coco_tfds.read(folder, settings, counted=CAPTIONS_PER_IMAGE)
    counts = collections.Counter(record.split for record in found.records)
    present = {split: counts[split] for split in records.SPLITS}
    said = _split(f"COCO 2014 of TFDS's {coco_tfds.NAME}", present, papers=True)
    return found._replace(notes=[said, *found.notes])


def read(settings: ml_collections.ConfigDict, seed: int) -> records.Found:
    """Records of both splits in the order of their files, and what is wrong.

    Args:
      settings: `source` is described above; with `subset` listed pictures, or shards
        of TFDS, may be missing, as long as some are there.
      seed: not used; files are what they are.
    """
    folder = coco_tfds.find(settings.source)
    found = _read_tfds(folder, settings) if folder else _read_official(settings)
    everything = [
        dataclasses.replace(record, class_id=number)
        for number, record in enumerate(found.records)
    ]
    return found._replace(records=everything)


def fingerprint(settings: ml_collections.ConfigDict, seed: int) -> str:
    """Hash of the captions, the pictures, and of whether some may be missing."""
    folder = coco_tfds.find(settings.source)
    digest = coco_tfds.digest(folder) if folder else _official_digest(settings)
    return f"{digest[:12]}{'_subset' if settings.subset else ''}"


def _official_digest(settings: ml_collections.ConfigDict) -> str:
    opened, year = _opened(settings)
    captions = {part.captions for part in _parts(year)}
    folders = tuple(f"{part.folder}/" for part in _parts(year))
    counted = [n for n in opened.names if n in captions or n.startswith(folders)]
    return opened.digest(counted)
