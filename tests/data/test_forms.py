"""Own pictures in every usual form: what each gives, what is said, what is refused."""

import io
import json
import tarfile
import zipfile

import pytest
from support import data_settings, forms

from mirrorgan_jax.data import datasets
from mirrorgan_jax.data.sources import folder, records


def read(source, **keys):
    return folder.read(data_settings.settings("", "folder", source, **keys), 0)


def refused(tmp_path, contents, **keys):
    """The problems of a folder that is refused."""
    try:
        found = read(forms.write(tmp_path / "raw", contents), **keys)
    except records.DataError as error:
        return list(error.problems)
    assert found.problems, found.notes
    return list(found.problems)


def accepted(tmp_path, contents, **keys):
    found = read(forms.write(tmp_path / "raw", contents), **keys)
    assert not found.problems
    return found


def splits(found):
    count = [record.split for record in found.records]
    return count.count("train"), count.count("test")


@pytest.mark.parametrize("name", forms.FORMS)
def test_every_form_is_found_said_and_read(tmp_path, name):
    contents, captions, counts, said = forms.FORMS[name]
    found = accepted(tmp_path, contents)
    assert found.notes[0].startswith(said)
    assert splits(found) == counts
    assert sum(len(record.captions) for record in found.records) == captions
    assert len({record.class_id for record in found.records}) == len(found.records)
    for record in found.records:
        base = record.name.rpartition("/")[2]
        assert record.read() == contents[record.name]
        for k, caption in enumerate(record.captions):
            assert caption.removesuffix(" .") in (
                forms.said(base, k), forms.said(base, 0)
            )  # fmt: skip


def test_pictures_in_no_list_of_a_split_are_left_out_and_said(tmp_path):
    contents = {**forms.FORMS["flickr8k"][0]}
    notes = accepted(tmp_path / "a", contents).notes
    left = "'225.jpg.1', '28.jpg', '29.jpg'"
    assert f"3 pictures in no list of a split left out: {left}" in notes
    splits = [name for name in contents if "Images.txt" in name]
    for name in splits:
        contents[name] = b"another.jpg\n"
    (problem, *_) = refused(tmp_path / "b", contents)
    assert "Images.txt" in problem
    for name in splits[1:]:
        del contents[name]
    (problem,) = refused(tmp_path / "c", contents)
    assert "no picture is left of a row a caption" in problem


@pytest.mark.parametrize("name", ["jsonl_splits", "flickr8k", "coco", "beside"])
@pytest.mark.parametrize("ending", ["zip", "tar", "tgz"])
def test_archives_with_one_top_folder_are_their_folders(tmp_path, name, ending):
    contents = forms.FORMS[name][0]
    expected = accepted(tmp_path, contents)
    members = {f"birds/{name}": data for name, data in contents.items()}
    members["__MACOSX/birds/._0.jpg"] = members["birds/.DS_Store"] = b"junk"
    path = tmp_path / f"birds.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for member, data in members.items():
                archive.writestr(member, data)
    else:
        with tarfile.open(path, "w:gz" if ending == "tgz" else "w") as archive:
            for member, data in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    found = read(path)
    assert not found.problems and found.notes == expected.notes
    for a, b in zip(found.records, expected.records, strict=True):
        assert (a.name, a.captions, a.split) == (b.name, b.captions, b.split)
        assert a.read() == b.read()


def test_a_form_is_prepared_and_loaded(tmp_path, capsys):
    source = forms.write(tmp_path / "raw", forms.FORMS["captions.txt"][0])
    settings = data_settings.settings(tmp_path / "data", "folder", source)
    data = datasets.load(settings, seed=0)
    assert (len(data.train), len(data.test)) == (27, 3)
    assert data.train.texts[0] == tuple(forms.said("0.jpg", k) for k in range(5))
    said = capsys.readouterr().out
    assert "a row a caption (captions.txt), 30 pictures with 150 captions" in said
    assert "30 pictures found in 'Images'" in said


@pytest.mark.parametrize(
    "listed",
    ["./a.jpg", "images\\a.jpg", ".\\images\\a.jpg", "a.JPG", "images//a.jpg"],
)
def test_other_spellings_of_a_name_find_the_picture(tmp_path, listed):
    names = [f"{i}.jpg" for i in range(3)]
    contents = {
        **forms.pictures("images/", names),
        "images/a.jpg": forms.picture(9),
        "metadata.jsonl": forms.json_lines([*names, listed]),
    }
    found = accepted(tmp_path, contents)
    assert found.records[3].name == "images/a.jpg"
    assert found.records[3].read() == forms.picture(9)


def test_two_spellings_of_a_picture_in_both_splits_are_refused(tmp_path):
    rows = [("a.jpg", "train"), ("b.jpg", "train"), (".\\A.jpg", "train"),
            ("./a.JPG", "test")]  # fmt: skip
    contents = {
        **forms.pictures("", ["a.jpg", "b.jpg", "A.jpg"]),
        "metadata.jsonl": forms.lines(
            json.dumps({"file_name": n, "text": "a bird", "split": split})
            for n, split in rows
        ),
    }
    (problem,) = refused(tmp_path, contents)
    assert problem == (
        "metadata.jsonl:4: ./a.JPG is a test picture, and a train one in"
        " metadata.jsonl:1 as 'a.jpg'"
    )


@pytest.mark.parametrize(
    ("key", "value", "near"),
    [
        ("bbox", [1, 2, 3, 4], "box"),
        ("label", 3, "class_id"),
        ("Split", "train", "split"),
        ("class-name", "finch", "class_name"),
        ("splt", "train", "split"),
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_slips_are_named_once_with_the_near_key(tmp_path, key, value, near, kind):
    if kind == "jsonl":
        data = forms.json_lines(**{key: value})
    else:
        rows = forms.table().decode().splitlines()
        data = forms.lines([f"{rows[0]},{key}", *(f"{row},7" for row in rows[1:])])
    contents = {**forms.pictures(), f"metadata.{kind}": data}
    first = 1 if kind == "jsonl" else 2
    assert refused(tmp_path, contents) == [
        f"metadata.{kind}:{first}: unknown key '{key}' (and in 29 more rows): did you"
        f' mean "{near}"? data.ignore_columns names what shall not be read'
    ]
    found = accepted(tmp_path, contents, ignore_columns=f"other, {key}")
    assert len(found.records) == 30


def test_other_columns_are_named_once_as_not_read(tmp_path):
    contents = {
        **forms.pictures(),
        "metadata.jsonl": forms.json_lines(author="someone", width=20),
        "extra.jpg": forms.picture(),
        "LICENSE.txt": b"free\n",
    }
    notes = accepted(tmp_path, contents).notes
    assert notes[1:] == [
        "columns that are not read: 'author', 'width'",
        "1 picture not used: 'extra.jpg'",
    ]


def test_a_named_column_holds_the_captions(tmp_path):
    rows = [{"file_name": n, "text": "a thing", "prompt": f"bird {n}"}
            for n in forms.NAMES]  # fmt: skip
    contents = {
        **forms.pictures(),
        "metadata.jsonl": forms.lines(map(json.dumps, rows)),
    }
    assert accepted(tmp_path, contents).records[0].captions == ["a thing"]
    found = accepted(tmp_path, contents, caption_column="prompt")
    assert found.records[0].captions == ["bird 0.jpg"]
    assert "column `prompt`" in found.notes[0]
    problems = refused(tmp_path, contents, caption_column="promt")
    assert len(problems) == 30
    assert problems[0].startswith('metadata.jsonl:1: no caption: "promt" is needed')


def test_two_caption_columns_ask_which_is_meant(tmp_path):
    contents = {
        **forms.pictures(),
        "metadata.jsonl": forms.json_lines(captions=["a bird"]),
    }
    problem = refused(tmp_path, contents)[0]
    assert problem == (
        'metadata.jsonl:1: "captions" and "text": data.caption_column says which is'
        " meant"
    )
    assert accepted(tmp_path, contents, caption_column="captions").records


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        ({}, "neither pictures nor a list"),
        (forms.pictures(), "30 pictures and no list; the simplest is metadata.jsonl"),
        (
            {**forms.pictures(), "notes.txt": b"My holidays.\n"},
            "30 pictures and no list of captions that is known in 'notes.txt'",
        ),
        ({"CUB_200_2011/images.txt": b"1 a/b.jpg\n"}, "which --config=cub reads"),
        ({"data/train-0.parquet": b"PAR1"}, "data/train-0.parquet: "),
        (
            {**forms.pictures(), "a.csv": forms.table(), "b.csv": forms.table()},
            "a.csv and b.csv all list captions",
        ),
        (
            {**forms.pictures(), "metadata.csv": forms.table(),
             "metadata.jsonl": forms.json_lines()},
            "metadata.csv and metadata.jsonl list the same folder ''",
        ),
        ({**forms.pictures(), "captions.json": b'{"a'}, "captions.json: column"),
        ({**forms.pictures(), "metadata.jsonl": b"\n"},
         "metadata.jsonl: lists no picture; the simplest"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_shows_the_nearest_form(tmp_path, contents, problem):
    (tmp_path / "raw").mkdir()
    (found,) = refused(tmp_path, contents)
    assert problem in found


@pytest.mark.parametrize(
    ("numbers", "rule", "counts"),
    [
        (9, "no split: the last two are test pictures", (7, 2)),
        (27, "no split: every tenth is a test picture", (25, 2)),
        (200, "no split: every tenth is a test picture", (180, 20)),
    ],
)
def test_small_sets_without_split_have_test_pictures(tmp_path, numbers, rule, counts):
    names = [f"{i}.jpg" for i in range(numbers)]
    contents = {**forms.pictures("", names), "metadata.jsonl": forms.json_lines(names)}
    found = accepted(tmp_path, contents)
    assert rule in found.notes[0] and splits(found) == counts


def test_train_alone_gives_its_tenth_and_validation_alone_is_the_test_split(tmp_path):
    train = {f"train/{k}": v for k, v in forms.FORMS["csv"][0].items()}
    found = accepted(tmp_path / "a", {**train, "README.md": b"birds"})
    assert "no test split: every tenth is a test picture" in found.notes[0]
    assert splits(found) == (27, 3)
    both = {k: v for k, v in forms.FORMS["csv_splits"][0].items() if "test/" not in k}
    found = accepted(tmp_path / "b", both)
    assert "4 validation pictures; validation is the test split" in found.notes[0]
    assert splits(found) == (20, 4)


def test_names_of_classes_make_classes(tmp_path):
    rows = [
        {"file_name": n, "text": "a bird",
         **({"class_name": f"bird {i % 3}"} if i else {})}
        for i, n in enumerate(forms.NAMES)
    ]  # fmt: skip
    contents = {
        **forms.pictures(),
        "metadata.jsonl": forms.lines(map(json.dumps, rows)),
    }
    found = accepted(tmp_path, contents)
    ids = [record.class_id for record in found.records]
    assert len({*ids}) == 4 and ids.count(ids[0]) == 1 and ids[1] == ids[4] != ids[2]
    assert "3 classes (1 pictures have none)" in found.notes[0]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"split": ["train"]}, "unknown split ['train']; allowed: train, test"),
        ({"class_name": 7}, "class_name 7 is no text"),
        ({"class_id": True}, "class_id True is no whole number"),
        ({"class_id": 2**40}, "class_id 1099511627776 is no whole number"),
        ({"text": 3}, '"text" must be a text, or a list of at least one: 3'),
        ({"text": ["a bird", None]}, "caption 1 None is no text"),
        ({"text": "['a bird', 'two']"}, "a list must be one of JSON"),
        ({"file_name": ["a.jpg"]}, "file_name ['a.jpg'] is no text"),
        ({"file_name": "x" * 5000}, "xxx...: missing"),
        ({"file_name": "x\x1b[31m.jpg"}, r"x\x1b[31m.jpg: missing"),
        ({"file_name": "../\x1b]0;x\x07"}, "leaves the folder"),
        ({"box": [1, 2, 3, 10**90]}, None),
        ({"text": "a" * 2**21}, "metadata.jsonl:1: 2,097"),
    ],
)  # fmt: skip
def test_odd_values_are_refused_in_a_sentence(tmp_path, row, problem):
    rows = [{"file_name": "a.jpg", "text": "a bird", **row},
            {"file_name": "b.jpg", "text": "b", "class_name": None}]  # fmt: skip
    contents = {
        **forms.pictures("", ["a.jpg", "b.jpg"]),
        "metadata.jsonl": forms.lines(map(json.dumps, rows)),
    }
    if problem is None:  # checked against the picture, later
        assert accepted(tmp_path, contents)
        return
    (found,) = refused(tmp_path, contents)
    assert problem in found and found.isprintable() and len(found) < 250


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["file_name,text", 'a.jpg,"never ends', "b.jpg,b"], ":2: no row of a table"),
        (["file_name,text", "a.jpg"], ":2: 1 fields, 2 are named"),
        (["file_name,text,text", "a.jpg,a,b"], ":1: two columns of one name"),
        (["file_name,text", "a.jpg," + "a" * 200_000], ":2: no row of a table"),
        (["name,words", "a.jpg,a"], ":2: no \"file_name\" among its keys: 'name'"),
    ],
)
def test_broken_tables_are_refused_with_their_line(tmp_path, rows, problem):
    contents = {**forms.pictures("", ["a.jpg"]), "metadata.csv": forms.lines(rows)}
    found = refused(tmp_path, contents)
    assert f"metadata.csv{problem}" in found[0]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings_are_said(tmp_path, encoding):
    data = "file_name,text\na.jpg,ein kleiner V\u00f6gel\n".encode(encoding)
    contents = {**forms.pictures("", ["a.jpg"]), "metadata.csv": data}
    assert "save it as UTF-8" in refused(tmp_path, contents)[0] or (
        "save the file as UTF-8" in refused(tmp_path, contents)[0])  # fmt: skip


def test_missing_texts_and_pictures_are_listed(tmp_path):
    contents = {**forms.FORMS["beside"][0]}
    del contents["3.txt"], contents["4.jpg"]
    assert refused(tmp_path, contents) == ["3.jpg: no 3.txt beside it"]
    contents["3.txt"] = b"a bird\n"
    found = accepted(tmp_path, contents)
    assert found.notes[1:] == ["files that are not read: '4.txt'"]


def test_ambiguous_pictures_are_refused(tmp_path):
    contents = {
        **forms.pictures("a/"),
        **forms.pictures("b/", ["3.jpg"]),
        "captions.csv": forms.table(),
    }
    assert refused(tmp_path, contents) == [
        "captions.csv:5: 3.jpg could be a/3.jpg or b/3.jpg"
    ]


def test_parquet_is_read_or_what_reads_it_is_named(tmp_path):
    contents = {**forms.pictures(), "metadata.parquet": b"PAR1 and no more"}
    problem = refused(tmp_path, contents)[0]
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        assert "pip install pyarrow" in problem
        return
    assert problem.startswith("metadata.parquet: not readable")
    out = io.BytesIO()
    columns = {"file_name": forms.NAMES, "text": [[forms.said(n)] for n in forms.NAMES]}
    parquet.write_table(pa.table(columns), out)
    found = accepted(tmp_path, {"metadata.parquet": out.getvalue()})
    assert [r.captions for r in found.records[:1]] == [[forms.said("0.jpg")]]


def test_contents_decide_which_prepared_copy_is_used(tmp_path):
    contents = forms.FORMS["csv"][0]
    settings = data_settings.settings(
        "", "folder", forms.write(tmp_path / "raw", contents)
    )
    first = folder.fingerprint(settings, 0)
    assert folder.fingerprint(settings, 1) == first
    changed = contents["metadata.csv"].replace(b"bird", b"crow")
    forms.write(tmp_path / "raw", {"metadata.csv": changed})
    second = folder.fingerprint(settings, 0)
    forms.write(tmp_path / "raw", {"0.jpg": contents["0.jpg"][:-1] + b"\0"})
    third = folder.fingerprint(settings, 0)
    settings.caption_column = "text"
    assert len({first, second, third, folder.fingerprint(settings, 0)}) == 4
