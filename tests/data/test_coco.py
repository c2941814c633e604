"""MS COCO: its layout, what counts of it, and what is refused."""

import gzip
import io
import json
import shutil
import zipfile

import pytest
from PIL import Image
from support import data_settings

from mirrorgan_jax.data import datasets, pipeline
from mirrorgan_jax.data.sources import coco, records


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Hashes are remembered in the user's folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def _settings(source, root="", **changes):
    return data_settings.settings(root, "coco", source, **changes)


def _load(source, root, **changes):
    return datasets.load(_settings(source, root, **changes), seed=0)


def _picture(number, mode="RGB"):
    color = (40 * number % 256, 200, 30) if mode == "RGB" else 40 * number % 256
    out = io.BytesIO()
    Image.new(mode, (24 + number, 20), color).save(out, "JPEG")
    return out.getvalue()


def _document(part, ids, captions):
    """Captions as COCO lists them, in an order that is not the pictures'."""
    pictures = [{"id": i, "file_name": f"COCO_{part}_{i:012}.jpg"} for i in ids]
    annotations = [
        {"id": 100 * i + n, "image_id": i, "caption": f"{part} thing {i} seen {n} "}
        for n in range(captions)
        for i in reversed(ids)
    ]
    return {"info": {}, "images": pictures, "annotations": annotations}


class _Coco:
    """A small COCO whose documents a test may change before it writes them."""

    def __init__(self, root, year="2014", captions=5):
        self.root, self.year = root, year
        self.train = _document(f"train{year}", [9, 4, 7], captions)
        self.val = _document(f"val{year}", [2, 5], captions)
        self.name = f"annotations/captions_train{year}.json"

    def write(self):
        for part, document in (("train", self.train), ("val", self.val)):
            folder = self.root / f"{part}{self.year}"
            folder.mkdir(parents=True, exist_ok=True)
            for number, image in enumerate(document["images"]):
                path = folder / str(image["file_name"]).replace("/", "_")
                path.write_bytes(_picture(number, "L" if number == 1 else "RGB"))
            self.write_json(part, json.dumps(document).encode())
        return self.root

    def write_json(self, part, data):
        path = self.root / f"annotations/captions_{part}{self.year}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    def problems(self, **changes):
        """What is wrong with it, without looking at pictures."""
        return list(coco.read(_settings(self.root, **changes), 0).problems)


@pytest.fixture
def raw(tmp_path):
    return _Coco(tmp_path / "coco")


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_both_splits_are_read_in_the_order_of_their_lists(tmp_path, year):
    found = coco.read(_settings(_Coco(tmp_path / "coco", year).write()), 0)
    assert not found.problems
    assert [(r.split, r.name) for r in found.records] == [
        *(("train", f"train{year}/COCO_train{year}_{i:012}.jpg") for i in (9, 4, 7)),
        *(("test", f"val{year}/COCO_val{year}_{i:012}.jpg") for i in (2, 5)),
    ]
    assert [r.captions[0] for r in found.records][:2] == [
        f"train{year} thing 9 seen 0", f"train{year} thing 4 seen 0",
    ]  # fmt: skip
    assert found.records[1].read() == _picture(1, "L")
    assert found.records[4].where == f"annotations/captions_val{year}.json: image 5"


def test_every_picture_is_a_class_of_its_own(raw):
    found = coco.read(_settings(raw.write()), 0)
    assert len({r.class_id for r in found.records}) == len(found.records) == 5
    assert all(r.box is None and not r.class_name for r in found.records)
    assert not coco.CROP_TO_BOX


def test_first_five_captions_count_and_the_others_are_said(tmp_path):
    raw = _Coco(tmp_path / "coco", captions=7)
    raw.train["annotations"][-1]["caption"] = "?!"  # beyond the first five
    found = coco.read(_settings(raw.write()), 0)
    assert not found.problems
    assert list(found.records[0].captions) == [
        f"train2014 thing 9 seen {n}" for n in range(5)
    ]
    assert (
        "annotations/captions_train2014.json: 21 captions, of which 6 beyond the first"
        " five of a picture are left out"
    ) in found.notes


@pytest.mark.parametrize(
    ("year", "counts", "said"),
    [
        ("2014", (3, 2), "(not the paper's 82,783 and 40,504 of 2014)"),
        ("2017", (3, 2), "(not the paper's 82,783 and 40,504 of 2014)"),
        ("2014", None, "(the paper's split)"),
    ],
)
def test_split_is_compared_with_the_papers(tmp_path, monkeypatch, year, counts, said):
    if counts is None:
        monkeypatch.setitem(coco.PICTURES, "2014", {"train": 3, "test": 2})
    found = coco.read(_settings(_Coco(tmp_path / "coco", year).write()), 0)
    assert found.notes[0].startswith(f"COCO {year}, 3 train and 2 test pictures {said}")


def test_papers_split_has_its_sizes():
    assert coco.PICTURES["2014"] == {"train": 82_783, "test": 40_504}
    assert coco.PICTURES["2017"] == {"train": 118_287, "test": 5_000}


def test_years_beside_each_other_are_the_papers(tmp_path):
    for year in ("2017", "2014"):
        root = _Coco(tmp_path / "coco", year).write()
    found = coco.read(_settings(root), 0)
    assert all("2014/" in r.name for r in found.records)
    assert found.notes[1:] == [
        f"annotations/captions_{part}2017.json is left out beside that of 2014"
        for part in ("train", "val")
    ]


def test_it_is_prepared_and_read_grey_pictures_too(raw, tmp_path, capsys):
    data = _load(raw.write(), tmp_path / "data")
    assert (len(data.train), len(data.test)) == (3, 2)
    assert data.train.texts[2][4] == "train2014 thing 7 seen 4"
    assert not data.train.crop_to_box and not data.train.boxes.any()
    assert "data coco: COCO 2014, 3 train and 2 test" in capsys.readouterr().out
    batches = pipeline.train_batches(
        data.train, image_size=16, num_words=6, batch_size=3, seed=0, cache_mib=0
    )
    batch = next(batches)
    assert batch["image"].shape == (3, 16, 16, 3)
    grey = batch["image"][list(batch["index"]).index(1)]
    assert (grey == grey[..., :1]).all()
    assert len(set(batch["class_id"].tolist())) == 3


def test_archive_is_read_as_its_folder(raw, tmp_path):
    root = raw.write()
    with zipfile.ZipFile(tmp_path / "coco.zip", "w") as archive:
        for path in root.rglob("*.*"):
            archive.write(path, f"coco/{path.relative_to(root)}")
    zipped = coco.read(_settings(tmp_path / "coco.zip"), 0)
    plain = coco.read(_settings(root), 0)
    assert not zipped.problems and zipped.notes == plain.notes
    assert [(r.name, r.captions, r.read()) for r in zipped.records] == [
        (r.name, r.captions, r.read()) for r in plain.records
    ]


def test_missing_pictures_are_refused_with_count_and_names(raw):
    root = raw.write()
    for i in (9, 7):
        (root / f"train2014/COCO_train2014_{i:012}.jpg").unlink()
    assert raw.problems() == [
        "train2014/: 2 of the 3 pictures that annotations/captions_train2014.json lists"
        " are missing (COCO_train2014_000000000009.jpg,"
        " COCO_train2014_000000000007.jpg); data.subset = True goes on with the others"
    ]


def test_subset_takes_the_pictures_that_are_there_and_says_so(raw, tmp_path, capsys):
    root = raw.write()
    (root / "train2014/COCO_train2014_000000000009.jpg").unlink()
    data = _load(root, tmp_path / "data", subset=True)
    said = (
        "a subset: 2 of the 3 pictures that annotations/captions_train2014.json lists"
    )
    assert said in capsys.readouterr().out
    assert data.train.texts[0][0] == "train2014 thing 4 seen 0"
    # Without the key the subset that is prepared now is no answer.
    with pytest.raises(records.DataError, match="1 of the 3 pictures"):
        _load(root, tmp_path / "data")


def test_subset_of_no_picture_is_refused(raw):
    shutil.rmtree(raw.write() / "val2014")
    (problem,) = raw.problems(subset=True)
    assert problem.startswith("val2014/: 2 of the 2 pictures")
    assert "subset" not in problem


def test_pictures_that_no_caption_names_are_said(raw):
    root = raw.write()
    (root / "val2014/other.jpg").write_bytes(_picture(1))
    notes = coco.read(_settings(root), 0).notes
    assert (
        "val2014/: left out, because annotations/captions_val2014.json does not list"
        " them: 1 of its files"
    ) in notes


def test_everything_wrong_is_one_list_with_file_and_id(raw):
    images, annotations = raw.train["images"], raw.train["annotations"]
    images += [
        {"id": "12", "file_name": "a.jpg"},
        {"id": 4, "file_name": "b.jpg"},
        {"id": 20, "file_name": "../c.jpg"},
        {"id": 21, "file_name": ["d.jpg"]},
        {"id": 22, "file_name": images[0]["file_name"]},
        {"id": 23, "file_name": images[0]["file_name"][:-3] + "JPG"},
        {"id": 24, "file_name": "e\x1b[2J.jpg"},
    ]
    annotations += [
        {"id": 1, "image_id": i, "caption": "some words"} for i in (20, 21, 22, 23)
    ]
    for number, annotation in enumerate(annotations[-4:]):
        annotation["id"] = number
    annotations[0]["caption"] = "?!"
    annotations[1]["caption"] = None
    annotations[2]["caption"] = ["a", "list"]
    annotations[3]["image_id"] = 99
    annotations[4]["image_id"] = "9"
    annotations[5]["image_id"] = True
    annotations += [
        {"image_id": 9, "caption": "no id"},
        {"id": 2.0, "image_id": 9, "caption": "a float"},
        {"id": 3, "image_id": 9, "caption": "an id again"},
    ]
    root = raw.write()
    (root / "train2014" / images[8]["file_name"]).unlink()
    expected = [
        "image number 3: id '12' is no whole number",
        "image 4 is there twice",
        "image 20: file_name '../c.jpg' is not the name of a file",
        "image 21: file_name ['d.jpg'] is not the name of a file",
        "image 22: file_name 'COCO_train2014_000000000009.jpg' is that of image 9 too",
        "annotation 700: caption '?!' has no words",
        "annotation 400: caption None is not a string",
        "annotation 900: caption ['a', 'list'] is not a string",
        "annotation 701: image_id 99 is not among the images",
        "annotation 401: image_id '9' is not among the images",
        "annotation 901: image_id True is not among the images",
        "annotation number 19: id None is no whole number",
        "annotation number 20: id 2.0 is no whole number",
        "annotation 3 is there twice",
        "image 24: no caption",
    ]
    found = raw.problems(subset=True)
    assert found[: len(expected)] == [f"{raw.name}: {line}" for line in expected]
    (rest,) = found[len(expected) :]
    assert rest.startswith(f"{raw.name}: image 23: train2014/")
    assert all(line.isprintable() for line in [*found, *raw.problems()])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"images": [', "column 13: broken JSON: expecting value"),
        (b'{"images": []}', 'a JSON object is needed whose "images" and "annot'),
        (b'{"images": [1], "annotations": []}', "a JSON object is needed whose"),
        (b"[" * 100_000, "column 33: nested deeper than 32 levels"),
        (b'{"images": [], "annotations": []}', "lists no picture"),
        (b'{"images":[],"annotations":[{"id":1,"bbox":[]}]}', 'no annotation has a "c'),
        (b"version https://git-lfs.github.com/spec/v1\noid", "column 1: broken JSON:"),
        (None, "missing"),
    ],
)  # fmt: skip
def test_file_that_is_not_cocos_is_refused(raw, data, sentence):
    root = raw.write()
    raw.write_json("val", data or b"")
    if data is None:
        (root / "annotations/captions_val2014.json").unlink()
    (problem,) = raw.problems()
    assert problem.startswith(f"annotations/captions_val2014.json: {sentence}")
    if data and b"lfs" in data:
        assert "git lfs pull" in problem


def test_broken_picture_is_a_problem_with_its_id(raw, tmp_path):
    root = raw.write()
    name = "val2014/COCO_val2014_000000000005.jpg"
    (root / name).write_bytes(_picture(1)[:60])
    with pytest.raises(records.DataError) as error:
        _load(root, tmp_path / "data")
    (problem,) = error.value.problems
    assert problem.startswith(f"annotations/captions_val2014.json: image 5: {name}: ")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", ["above", "packed", "neither"])
def test_folder_that_is_not_coco_is_told_what_is_near(tmp_path, kind):
    if kind == "above":
        _Coco(tmp_path / "data/coco").write()
        near = r", but it is in coco/: give .*/data/coco"
    else:
        (tmp_path / "data").mkdir()
        near = ""
    if kind == "packed":
        (tmp_path / "data/annotations_trainval2014.zip").write_bytes(b"")
        near = ", but annotations_trainval2014.zip is there: unpack it"
    for look in (coco.fingerprint, coco.read):
        with pytest.raises(
            records.DataError, match=f"captions_train2014.json: missing{near}$"
        ):
            look(_settings(tmp_path / "data"), 0)


def test_contents_decide_which_prepared_copy_is_used(raw, tmp_path):
    root = raw.write()
    (root / "annotations/instances_train2014.json").write_text("{}")

    def fingerprint(**changes):
        return coco.fingerprint(_settings(root, **changes), 0)

    first = fingerprint()
    (root / "annotations/instances_train2014.json").write_text("[]")
    assert fingerprint() == first != fingerprint(subset=True)
    picture = root / "train2014/COCO_train2014_000000000009.jpg"
    data = picture.read_bytes()
    picture.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    second = fingerprint()
    raw.train["annotations"][0]["caption"] = raw.train["annotations"][0][
        "caption"
    ].replace("thing", "think")
    raw.write()
    assert len({first, second, fingerprint()}) == 3


def test_real_photographs_are_prepared(tmp_path):
    data = _load(data_settings.real("coco_mini"), tmp_path)
    assert (len(data.train), len(data.test)) == (8, 8)
    assert {len(t) for t in (*data.train.texts, *data.test.texts)} == {5}


def test_real_captions_are_counted(tmp_path):
    packed = data_settings.real("coco_mini") / "captions_val2014_subset.json.gz"
    raw = _Coco(tmp_path / "coco")
    raw.write()
    raw.write_json("val", gzip.decompress(packed.read_bytes()))
    picture = tmp_path / "coco/val2014/COCO_val2014_000000318219.jpg"
    picture.write_bytes(_picture(1))
    found = coco.read(_settings(tmp_path / "coco", subset=True), 0)
    assert not found.problems
    (record,) = [r for r in found.records if r.split == "test"]
    assert len(record.captions) == 5
    assert (
        "annotations/captions_val2014.json: 24,019 captions, of which 19 beyond the"
        " first five of a picture are left out"
    ) in found.notes
    assert any("1 of the 4,800 pictures" in note for note in found.notes)
