"""Own photographs: metadata.jsonl in a folder or a zip."""

import io
import json
import zipfile

import pytest
from PIL import Image
from support import data_settings

from mirrorgan_jax.data import datasets
from mirrorgan_jax.data.sources import folder, records


def _settings(source, root=""):
    return data_settings.settings(root, "folder", source)


def _load(source, root):
    return datasets.load(_settings(source, root), seed=0)


def _picture(size=(20, 16), color=(10, 200, 30)):
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


def _row(name, **keys):
    return {"file_name": name, "captions": [f"a bird called {name[:-4]}"], **keys}


def _make(root, rows, *, pictures=None):
    """Writes metadata.jsonl (dicts or raw lines) and the pictures it lists."""
    root.mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for row in rows:
        if isinstance(row, dict) and ".." not in row["file_name"]:
            (root / row["file_name"]).write_bytes(_picture())
    for name, data in (pictures or {}).items():
        (root / name).write_bytes(data)
    return root


def _zipped(root, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in root.iterdir():
            archive.write(file, file.name)
    return path


GOOD = [
    _row("a.png", split="train", class_id=7),
    _row("b.png", split="test", class_id=8, box=[1, 1, 10, 10]),
    _row("c.png"),
]


def test_folder_and_zip_give_the_same_records(tmp_path):
    root = _make(tmp_path / "raw", GOOD)
    found, problems, *_ = folder.read(_settings(root), 0)
    zipped, zip_problems, *_ = folder.read(
        _settings(_zipped(root, tmp_path / "raw.zip")), 0
    )
    assert not problems and not zip_problems
    for a, b in zip(found, zipped, strict=True):
        assert (a.split, a.name, a.captions, a.class_id) == (
            (b.split, b.name, b.captions, b.class_id)
        )
        assert a.read() == b.read()
    assert [r.split for r in found] == ["train", "test", "train"]
    assert len({r.class_id for r in found}) == 3


def test_zip_is_prepared_and_loaded(tmp_path):
    source = _zipped(_make(tmp_path / "raw", GOOD), tmp_path / "raw.zip")
    data = _load(source, tmp_path / "data")
    assert data.train.texts == (("a bird called a",), ("a bird called c",))
    assert data.test.boxes.tolist() == [[1, 1, 10, 10]]
    assert data.vocab.words == ("<end>", "a", "bird", "called", "c", "b")


def test_every_tenth_picture_is_a_test_picture_when_no_split_is_named(tmp_path):
    root = _make(tmp_path / "raw", [_row(f"{i}.png") for i in range(20)])
    found, problems, *_ = folder.read(_settings(root), 0)
    assert not problems
    assert [i for i, r in enumerate(found) if r.split == "test"] == [9, 19]


def test_every_problem_is_listed_with_its_line(tmp_path):
    rows = [
        *GOOD,
        '{"file_name": "d.png", "captions": ',
        _row("e.png", split="tset"),
        _row("../f.png"),
        {"file_name": "g.png", "captions": ["a bird", "!?"]},
        {"file_name": "h.png", "captions": []},
        _row("i.png", box=[5, 5, 0, 3]),
        _row("j.png", box=[1, 2, 3]),
        _row("k.png", class_id="seven"),
        "[1, 2]",
        _row("a.png"),
        _row("l.png"),
        _row("m.png"),
    ]
    root = _make(tmp_path / "raw", rows, pictures={"l.png": _picture()[:40]})
    (root / "m.png").unlink()
    with pytest.raises(records.DataError) as error:
        _load(root, tmp_path / "data")
    expected = {
        "metadata.jsonl:4: column 36: broken JSON",
        "metadata.jsonl:5: unknown split 'tset'; allowed: train, test",
        "metadata.jsonl:6: file name '../f.png' leaves the folder",
        "metadata.jsonl:7: g.png: caption '!?' has no words",
        'metadata.jsonl:8: "captions" must be',
        "metadata.jsonl:9: i.png: bad box",
        "metadata.jsonl:10: bad box [1, 2, 3]",
        "metadata.jsonl:11: class_id 'seven'",
        'metadata.jsonl:12: a JSON object with "file_name"',
        "metadata.jsonl:13: a.png again, as in metadata.jsonl:1",
        "metadata.jsonl:14: l.png: corrupt picture",
        "metadata.jsonl:15: m.png: missing",
    }
    assert len(error.value.problems) == len(expected)
    for start in expected:
        assert any(p.startswith(start) for p in error.value.problems), start
    assert not (tmp_path / "data").exists()


def test_damaged_zip_member_is_a_problem_of_its_line(tmp_path):
    source = _zipped(_make(tmp_path / "raw", GOOD), tmp_path / "raw.zip")
    data = bytearray(source.read_bytes())
    at = data.index(b"\x89PNG")
    data[at + 30] ^= 255
    source.write_bytes(bytes(data))
    with pytest.raises(records.DataError, match=r"metadata.jsonl:\d+: .\.png: "):
        _load(source, tmp_path / "data")


@pytest.mark.parametrize(
    "name", ["../x.png", "/x.png", "a/../../x.png", "C:/x.png", "..\\x.png", ""]
)
def test_paths_that_leave_the_folder_are_unsafe(name):
    assert records.unsafe_path(name)


def test_symbolic_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "secret.png").write_bytes(_picture())
    root = _make(tmp_path / "raw", GOOD)
    (root / "a.png").unlink()
    (root / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(records.DataError, match="leads out of the folder"):
        _load(root, tmp_path / "data")


@pytest.mark.parametrize("kind", ["absent", "empty", "text"])
def test_source_without_metadata_is_refused(tmp_path, kind):
    source = tmp_path / "raw"
    if kind == "empty":
        source.mkdir()
    if kind == "text":
        source.write_text("no zip")
    with pytest.raises(records.DataError):
        _load(source, tmp_path / "data")


def test_long_lists_of_problems_are_counted_and_cut():
    error = records.DataError("raw", [f"m:{i}: bad" for i in range(100)])
    assert len(error.problems) == 100
    assert "100 problems" in str(error) and "and 80 more" in str(error)
    assert len(str(error).splitlines()) == 22
