"""People's own data in every form: file names and contents, drawn on the spot."""

import functools
import io
import json

from PIL import Image

NAMES = [f"{i}.jpg" for i in range(30)]


@functools.cache
def picture(number=0, kind="JPEG"):
    """The bytes of a small picture; another colour for each number."""
    out = io.BytesIO()
    Image.new("RGB", (20, 16), (number * 8 % 256, 200, 30)).save(out, kind)
    return out.getvalue()


def pictures(folder="", names=None):
    """{name: bytes} of pictures in a folder."""
    names = NAMES if names is None else names
    return {f"{folder}{name}": picture(i) for i, name in enumerate(names)}


def said(name, number=0):
    """A caption of a picture; with a comma, and words of its own."""
    return f"a bird, number {name.partition('.')[0]} seen {number}"


def lines(rows):
    """The bytes of a text file."""
    return ("\n".join(rows) + "\n").encode()


def json_lines(names=None, **keys):
    """A metadata.jsonl with a `text` each."""
    names = NAMES if names is None else names
    rows = ({"file_name": n, "text": said(n), **keys} for n in names)
    return lines(json.dumps(row) for row in rows)


def table(names=None, *, header="file_name,text", several=1):
    """Rows of a table with quotes around captions."""
    names = NAMES if names is None else names
    rows = [f'{n},"{said(n, k)}"' for n in names for k in range(several)]
    return lines([header, *rows])


def coco(names=None, several=1):
    """COCO's lists of images and of captions."""
    names = NAMES if names is None else names
    images = [{"id": i, "file_name": n, "height": 16} for i, n in enumerate(names)]
    notes = [
        {"id": 9 * i + k, "image_id": i, "caption": said(n, k)}
        for i, n in enumerate(names)
        for k in range(several)
    ]
    return json.dumps({"info": {}, "images": images, "annotations": notes}).encode()


def sentences():
    """Lists of images with sentences, as captioning code passes them on."""
    splits = ["train", "restval", "val", "test"]
    rows = [
        {
            "filename": n,
            "split": splits[i % 4],
            "sentences": [{"raw": said(n, k)} for k in range(2)],
        }
        for i, n in enumerate(NAMES)
    ]
    return json.dumps({"images": rows, "dataset": "flickr8k"}).encode()


def _flickr8k():
    rows = [f"{n}#{k}\t{said(n, k)}" for n in NAMES for k in range(5)]
    # As in the published file: captions of a picture that is not there.
    rows.append(f"225.jpg.1#0\t{said('225.jpg')}")
    return {
        **pictures("Flickr8k_Dataset/Flicker8k_Dataset/"),
        "Flickr8k_text/Flickr8k.token.txt": lines(rows),
        "Flickr8k_text/readme.txt": b"Captions of pictures.\n",
        "Flickr8k_text/Flickr_8k.trainImages.txt": lines(NAMES[:20]),
        "Flickr8k_text/Flickr_8k.devImages.txt": lines(NAMES[20:23]),
        "Flickr8k_text/Flickr_8k.testImages.txt": lines(NAMES[23:28]),
    }


def _flickr30k():
    rows = [f"{n}| {k}| {said(n, k)} ." for n in NAMES for k in range(5)]
    # As in the published file: one separator is missing.
    rows[7] = f"{NAMES[1]}| 2   {said(NAMES[1], 2)} ."
    header = "image_name| comment_number| comment"
    return {**pictures("flickr30k_images/"), "results.csv": lines([header, *rows])}


def _splits(form, ending):
    parts = {"train": NAMES[:20], "test": NAMES[20:26], "validation": NAMES[26:]}
    return {
        name: data
        for split, names in parts.items()
        for name, data in {
            **pictures(f"{split}/", names),
            f"{split}/metadata.{ending}": form(names),
        }.items()
    }


def _beside():
    texts = {n.replace("jpg", "txt"): lines([said(n), "", said(n, 1)]) for n in NAMES}
    return {**pictures(), **texts}


def _listed(name, data):
    return {**pictures(), name: data}


# Name: (contents, captions, train and test pictures, the beginning of what is said).
FORMS = {
    "jsonl": (
        _listed("metadata.jsonl", json_lines()),
        30, (27, 3),
        "Hugging Face image folder (metadata.jsonl), 30 pictures with 30 captions,"
        " column `text`, no class: every picture is its own, no split: every tenth is"
        " a test picture",
    ),
    "csv": (
        _listed("metadata.csv", table()), 30, (27, 3),
        "Hugging Face image folder (metadata.csv), 30 pictures",
    ),
    "jsonl_splits": (
        _splits(json_lines, "jsonl"), 26, (20, 6),
        "Hugging Face image folder (test/metadata.jsonl, train/metadata.jsonl,"
        " validation/metadata.jsonl), 26 pictures with 26 captions, column `text`, no"
        " class: every picture is its own, 20 train and 6 test pictures; 4 validation"
        " pictures left out",
    ),
    "csv_splits": (
        _splits(table, "csv"), 26, (20, 6), "Hugging Face image folder (test/metad",
    ),
    "flickr8k": (
        _flickr8k(), 125, (20, 5),
        "a row a caption (Flickr8k_text/Flickr8k.token.txt), 25 pictures with 125"
        " captions, column `text`, no class: every picture is its own, 20 train and 5"
        " test pictures; 3 validation pictures left out",
    ),
    "captions.txt": (
        {**pictures("Images/"), "captions.txt": table(
            header="image,caption", several=5)},
        150, (27, 3), "a row a caption (captions.txt), 30 pictures with 150 captions,"
        " column `caption`",
    ),
    "flickr30k": (
        _flickr30k(), 150, (27, 3), "a row a caption (results.csv), 30 pictures with"
        " 150 captions, column `comment`",
    ),
    "beside": (
        _beside(), 60, (27, 3), "a text file beside each picture, 30 pictures with 60"
    ),
    "coco": (
        {**pictures("images/"), "captions.json": coco(several=2)}, 60, (27, 3),
        "COCO-style JSON (captions.json), 30 pictures with 60 captions, no class",
    ),
    "coco_splits": (
        {
            **pictures("images/"),
            "annotations/captions_train.json": coco(NAMES[:25], 2),
            "annotations/captions_val.json": coco(NAMES[25:]),
            "annotations/instances_val.json": b'{"images": [], "annotations": []}',
        },
        55, (25, 5),
        "COCO-style JSON (annotations/captions_train.json,"
        " annotations/captions_val.json), 30 pictures with 55 captions, no class: every"
        " picture is its own, 25 train and 5 validation pictures; validation is the"
        " test split",
    ),
    "sentences": (
        _listed("dataset.json", sentences()), 46, (16, 7),
        "JSON of images with sentences (dataset.json)",
    ),
    "array": (
        _listed("metadata.json", json.dumps(
            [{"file_name": n, "captions": [said(n), said(n, 1)]} for n in NAMES]
        ).encode()),
        60, (27, 3), "Hugging Face image folder (metadata.json), 30 pictures",
    ),
    "mapping": (
        _listed("captions.json", json.dumps({n: said(n) for n in NAMES}).encode()),
        30, (27, 3), "JSON of captions by file name (captions.json), 30 pictures",
    ),
    "tsv": (
        _listed("list.tsv", lines(f"{n}\t{said(n)}" for n in NAMES)),
        30, (27, 3), "a row a caption (list.tsv), 30 pictures",
    ),
    "semicolons": (
        _listed("birds.csv", lines(
            ["filename;caption", *(f"{n};{said(n)}" for n in NAMES)])),
        30, (27, 3), "a row a caption (birds.csv), 30 pictures",
    ),
    "unquoted": (
        _listed("captions.csv", lines(
            ["image,caption", *(f"{n},{said(n)}" for n in NAMES)])),
        30, (27, 3), "a row a caption (captions.csv), 30 pictures",
    ),
}  # fmt: skip


def write(folder, contents):
    """Writes {name: bytes} below a folder, and returns it."""
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
