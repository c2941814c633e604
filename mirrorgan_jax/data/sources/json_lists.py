"""JSON values that list pictures and captions: arrays, COCO's, sentences, mappings."""

import dataclasses
from collections.abc import Callable, Mapping

from mirrorgan_jax.data.sources import records, safe_json, tables


@dataclasses.dataclass
class JsonForm:
    """A JSON value that lists captions.

    Attributes:
      title: of its form.
      columns: whether its keys are those of its writer's choice.
      rows: `rows(name of the file, problems)` gives its rows.
    """

    title: str
    columns: bool
    rows: Callable[[str, list[str]], tables.Rows]


def parse(name: str, data: bytes) -> JsonForm | None:
    """The form of a JSON file; None where it lists no captions.

    Raises:
      ValueError: it is broken; the sentence begins with its name.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    return _form(safe_json.loads(data, records.printable(name)))


def _form(value: object) -> JsonForm | None:
    if isinstance(value, list):
        if value and all(isinstance(row, Mapping) for row in value):
            return JsonForm(
                "JSON array",
                True,
                lambda name, problems: [
                    (f"{name}: item {i}", row) for i, row in enumerate(value)
                ],
            )
        return None
    if not isinstance(value, Mapping):
        return None
    pictures, notes = value.get("images"), value.get("annotations")
    if isinstance(pictures, list) and isinstance(notes, list):
        if any(isinstance(note, Mapping) and "caption" in note for note in notes):
            return JsonForm(
                "COCO-style JSON",
                False,
                lambda name, problems: _coco(pictures, notes, name, problems),
            )
        return None
    if isinstance(pictures, list) and any(
        isinstance(row, Mapping) and "sentences" in row for row in pictures
    ):
        return JsonForm(
            "JSON of images with sentences",
            False,
            lambda name, problems: _sentences(pictures, name, problems),
        )
    if value and all(map(tables.is_picture, value)):
        return JsonForm(
            "JSON of captions by file name",
            False,
            lambda name, problems: [
                (f"{name}: {records.shown(key)}", {"file_name": key, "captions": said})
                for key, said in value.items()
            ],
        )
    return None


def _is_key(value) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _coco(pictures, notes, name, problems) -> tables.Rows:
    """Rows of COCO's lists of images and of captions, joined by the image's id."""
    by_id: dict[object, dict] = {}
    for i, picture in enumerate(pictures):
        key = picture.get("id") if isinstance(picture, Mapping) else None
        if not _is_key(key):
            problems.append(f"{name}: images, item {i}: an object with an id is needed")
        elif key in by_id:
            problems.append(f"{name}: image {records.shown(key)} stands there twice")
        else:
            by_id[key] = {"file_name": picture.get("file_name"), "captions": []}
    for i, note in enumerate(notes):
        key = note.get("image_id") if isinstance(note, Mapping) else None
        if not _is_key(key) or key not in by_id:
            problems.append(
                f"{name}: annotations, item {i}: no image of id {records.shown(key)}"
            )
        elif not isinstance(note.get("caption"), str):
            problems.append(
                f"{name}: annotations, item {i}: caption"
                f" {records.shown(note.get('caption'))} is no text"
            )
        else:
            by_id[key]["captions"].append(note["caption"])
    return [(f"{name}: image {records.shown(key)}", row) for key, row in by_id.items()]


def _sentences(pictures, name, problems) -> tables.Rows:
    """Rows of the lists that captioning code passes on: images with `sentences`."""
    rows = []
    for i, picture in enumerate(pictures):
        where = f"{name}: images, item {i}"
        said = picture.get("sentences") if isinstance(picture, Mapping) else None
        if not isinstance(said, list) or not all(isinstance(s, Mapping) for s in said):
            problems.append(f"{where}: an object with a list of sentences is needed")
            continue
        folder, file = picture.get("filepath"), picture.get("filename")
        if isinstance(folder, str) and isinstance(file, str):
            file = f"{folder}/{file}"
        captions = [s.get("raw") for s in said]
        row = {"file_name": file, "split": picture.get("split"), "captions": captions}
        rows.append((where, row))
    return rows
