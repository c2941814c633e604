"""Captions in COCO's JSON: a list of images, and one of annotations of them.

Each image has an `id` and a `file_name`, each annotation an `id`, an `image_id` and a
`caption`; whatever else they have is not looked at.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from mirrorgan_jax.data import captions as checks
from mirrorgan_jax.data.sources import files, records, safe_json

_LISTS = ("images", "annotations")


class Listed(NamedTuple):
    """What a file lists.

    Attributes:
      pictures: {id: file name}, in their order; "" where it is none.
      captions: {id of picture: all its captions, in their order}.
    """

    pictures: dict[int, str]
    captions: dict[int, list[str]]


def read(
    opened: files.Files, where: str, problems: list[str], *, counted: int, rule: str
) -> Listed | None:
    """The pictures and captions of a JSON file; None where it is none.

    Args:
      opened: the data set's files.
      where: name of the JSON file.
      problems: takes what is wrong, with file and id.
      counted: captions of a picture that count; they must have words.
      rule: of words, `data.words`.
    """
    document = _document(opened, where, problems)
    if document is None:
        return None
    pictures = _pictures(document["images"], where, problems)
    if not pictures:
        problems.append(f"{where}: lists no picture")
    captions = _captions(
        document["annotations"], pictures, where, problems, counted, rule
    )
    return Listed(pictures, captions)


def _document(opened: files.Files, where: str, problems: list[str]) -> dict | None:
    if where not in opened.names:
        problems.append(f"{where}: missing")
        return None
    try:
        data = opened.read(where, limit=safe_json.LIMIT)
    except (OSError, ValueError) as error:
        problems.append(f"{where}: cannot be read: {error}")
        return None
    try:
        found = safe_json.loads(data, where)
    except ValueError as error:
        problems.append(f"{error}{files.kind_of(data[:512])}")
        return None
    problem = _form_problem(found)
    if problem:
        problems.append(f"{where}: {problem}")
    return None if problem else found


def _form_problem(found: Any) -> str | None:
    """What is wrong with a document as a whole, or None."""
    if not isinstance(found, dict) or not all(
        isinstance(found.get(key), list)
        and all(isinstance(item, dict) for item in found[key])
        for key in _LISTS
    ):
        return (
            'a JSON object is needed whose "images" and "annotations" are lists of'
            " objects"
        )
    if found["annotations"] and not any("caption" in a for a in found["annotations"]):
        return (
            'no annotation has a "caption"; those of captions_*.json are needed, not'
            " those of instances_*.json"
        )
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _with_ids(
    items: list[dict], kind: str, where: str, problems: list[str]
) -> Iterator[tuple[int, dict]]:
    """(id, item) of those whose id is whole and not there before."""
    seen = set()
    for number, item in enumerate(items):
        key = item.get("id")
        if not _is_whole(key):
            problems.append(
                f"{where}: {kind} number {number}: id {records.shown(key)} is no"
                " whole number"
            )
        elif key in seen:
            problems.append(f"{where}: {kind} {key} is there twice")
        else:
            seen.add(key)
            yield key, item


def _pictures(items: list[dict], where: str, problems: list[str]) -> dict[int, str]:
    """{id: file name} of the listed pictures, in their order."""
    found, names = {}, {}
    for key, item in _with_ids(items, "image", where, problems):
        name = item.get("file_name")
        # Named all the same, so that its captions are no further problems.
        found[key] = ""
        if not isinstance(name, str) or records.unsafe_path(name) or "/" in name:
            problems.append(
                f"{where}: image {key}: file_name {records.shown(name)} is not the"
                " name of a file"
            )
        elif name in names:
            problems.append(
                f"{where}: image {key}: file_name {records.shown(name)} is that of"
                f" image {names[name]} too"
            )
        else:
            found[key] = name
            names[name] = key
    return found


def _captions(
    items: list[dict],
    pictures: dict[int, str],
    where: str,
    problems: list[str],
    counted: int,
    rule: str,
) -> dict[int, list[str]]:
    """{id of picture: all its captions}, in their order."""
    found, bare = {key: [] for key in pictures}, dict.fromkeys(pictures)
    for key, item in _with_ids(items, "annotation", where, problems):
        picture, caption = item.get("image_id"), item.get("caption")
        place = f"{where}: annotation {key}"
        if not _is_whole(picture) or picture not in found:
            problems.append(
                f"{place}: image_id {records.shown(picture)} is not among the images"
            )
            continue
        bare.pop(picture, None)
        if not isinstance(caption, str):
            problems.append(
                f"{place}: caption {records.shown(caption)} is not a string"
            )
        else:
            reason = None
            if len(found[picture]) < counted:
                reason = checks.problem(caption, rule)
            if reason:
                problems.append(f"{place}: {reason}")
            else:
                found[picture].append(caption.strip())
    problems += [f"{where}: image {key}: no caption" for key in bare]
    return found
