"""Remote folders and archives: read as local ones, or refused in a sentence."""

import json
import os
import shutil
import time
import zipfile

import pytest
import tensorflow as tf
from support import bucket, cub_folder, data_settings, forms

from mirrorgan_jax import data
from mirrorgan_jax.data import datasets, prepare
from mirrorgan_jax.data.sources import cub, files, records

CONTENTS = {"a.txt": b"first", "b/c.JPG": b"second", "b/d/\u00fc.png": b"third" * 99}
JUNK = {"b/.DS_Store": b"x", "b/._c.JPG": b"x", "__MACOSX/b/c.JPG": b"x"}
ENDINGS = {"": "", "zip": ".zip", "tar": ".tar", "gztar": ".tar.gz"}


def write(folder, contents):
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def archived(folder, kind):
    return shutil.make_archive(folder.parent / "all", kind, folder) if kind else folder


def both(folder, kind):
    """A local source and the same at an address."""
    local = folder.parent / os.path.basename(archived(folder, kind))
    return local, bucket.upload(local)


def problem(source):
    with pytest.raises(records.DataError) as error:
        files.open_source(source)
    (found,) = error.value.problems
    return found


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """The names of the remote files that a test opens."""
    names = []
    monkeypatch.setattr(bucket.RamPath, "opened", names)
    return names


@pytest.mark.parametrize("kind", ENDINGS)
def test_what_is_remote_reads_as_what_is_local(tmp_path, kind):
    source, address = both(write(tmp_path / "raw", {**CONTENTS, **JUNK}), kind)
    local, remote = files.open_source(source), files.open_source(address)
    assert remote.where == address
    assert remote.names == local.names == tuple(sorted(CONTENTS))
    assert {name: remote.read(name) for name in remote.names} == CONTENTS
    assert remote.find("b/c.jpg") == "b/c.JPG"
    for names in (None, ["a.txt"]):
        assert remote.digest(names, remembered=None) == local.digest(names)
    assert remote.read("a.txt", limit=5) == b"first"
    with pytest.raises(ValueError, match="larger than"):
        remote.read("a.txt", limit=4)


def test_an_archive_is_fetched_once_and_its_copy_goes_with_it(tmp_path, opened):
    for kind in ("zip", "gztar"):
        _, address = both(write(tmp_path / "raw", CONTENTS), kind)
        before = len(os.listdir("/proc/self/fd"))
        remote = files.open_source(address)
        remote.digest()
        assert [remote.read(name) for name in remote.names]
        assert opened == [f"all{ENDINGS[kind]}"]
        assert len(os.listdir("/proc/self/fd")) == before + 1
        del remote
        assert len(os.listdir("/proc/self/fd")) == before
        opened.clear()


def test_hashes_are_remembered_where_the_time_of_change_tells(
    tmp_path, opened, monkeypatch
):
    def digest(contents, changed):
        monkeypatch.setattr(bucket.RamPath, "changed", changed)
        address = bucket.upload(write(tmp_path / "raw", contents))
        opened.clear()
        return files.open_source(address).digest(remembered=tmp_path / "memory")

    now = int(time.time())
    for unsure in (0, now - 3, now + 900):  # not told, or of this very minute
        first = digest(CONTENTS, unsure)
        assert digest({**CONTENTS, "a.txt": b"FIRST"}, unsure) != first
    assert digest(CONTENTS, now - 1000) == first
    assert len(opened) == len(CONTENTS)
    assert digest(CONTENTS, now - 1000) == first
    assert not opened
    assert digest({**CONTENTS, "a.txt": b"FIRST"}, now - 900) != first
    assert len(opened) == len(CONTENTS)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (tf.errors.NotFoundError(None, None, ""), "missing"),
        (FileNotFoundError("nothing there"), "missing"),
        (
            tf.errors.PermissionDeniedError(None, None, "Error 403\nbody: {\n}"),
            "no permission: Error 403 body: { }",
        ),
        (PermissionError("Forbidden"), "Forbidden"),
        (
            tf.errors.UnavailableError(None, None, "no host"),
            "cannot be reached: no host",
        ),
        (ImportError("no module 'gcsfs'"), "cannot be reached: no module 'gcsfs'"),
    ],
)
def test_what_cannot_be_read_is_a_sentence_with_its_address(
    tmp_path, monkeypatch, error, said
):
    write(tmp_path / "raw", CONTENTS)
    raw, packed = (both(tmp_path / "raw", kind)[1] for kind in ("", "zip"))
    for address in (raw, packed):
        monkeypatch.setattr(bucket.RamPath, "wrong", {address: error})
        assert problem(address) == f"{address}: {said}"
    remote = f"{raw}/b/c.JPG"
    monkeypatch.setattr(bucket.RamPath, "wrong", {remote: error})
    assert problem(raw) == f"{raw}: {said}"
    monkeypatch.setattr(bucket.RamPath, "wrong", {})
    found = files.open_source(raw)
    monkeypatch.setattr(bucket.RamPath, "wrong", {remote: error})
    # The library's own OSErrors are passed on as they are.
    said = str(error) if isinstance(error, OSError) else said
    with pytest.raises(OSError, match=said):
        found.read("b/c.JPG")
    with pytest.raises(OSError):
        found.digest(remembered=None)


def test_nothing_and_something_else_are_said(tmp_path):
    assert problem("ram://bucket/none") == "ram://bucket/none: missing"
    other = f"{bucket.upload(write(tmp_path, {'raw.zip': b'a picture'}))}/raw.zip"
    assert problem(other) == f"{other}: neither folder nor zip nor tar"
    assert "https://a.org/raw.zip: no known kind of address: give a folder" in problem(
        "https://a.org/raw.zip"
    )


def test_a_file_that_changes_is_not_read_in_part(tmp_path):
    _, address = both(write(tmp_path / "raw", CONTENTS), "")
    found = files.open_source(address)
    for other in (b"first and more", b"f"):
        bucket.upload(write(tmp_path / "raw", {"a.txt": other}))
        with pytest.raises(OSError, match="changed while it was read"):
            found.read("a.txt")


def test_names_that_lead_out_are_refused(tmp_path, monkeypatch):
    _, address = both(write(tmp_path / "raw", CONTENTS), "")
    wrong = {f"{address}/b": ["..", "c.JPG"]}
    monkeypatch.setattr(bucket.RamPath, "wrong", wrong)
    assert problem(address) == f"{address}: 'b/..' leads out of the folder"
    # An object of the folder's own name, as consoles make it.
    monkeypatch.setattr(bucket.RamPath, "wrong", {f"{address}/b": ["", "c.JPG"]})
    assert files.open_source(address).names == ("a.txt", "b/c.JPG")
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../a.txt", b"")
    address = bucket.upload(tmp_path / "out.zip")
    assert problem(address) == f"{address}: member '../a.txt' leaves the archive"


def prepared(tmp_path, source, name="folder"):
    settings = data_settings.settings(tmp_path / "data", name, source, words="unicode")
    folder = prepare.prepare(settings, seed=0)
    dataset = datasets.load(settings, seed=0)
    rows = json.loads((folder / "metadata.json").read_text())
    return folder, rows, dataset.contents


@pytest.mark.parametrize("kind", ENDINGS)
def test_the_same_data_is_prepared_from_both(tmp_path, kind):
    contents = {**forms.pictures("train/"), "train/metadata.jsonl": forms.json_lines()}
    source, address = both(write(tmp_path / "raw", contents), kind)
    local = prepared(tmp_path / "local", source)
    remote = prepared(tmp_path / "remote", address)
    assert remote[0].parent.name == local[0].parent.name
    assert remote[1:] == local[1:]


def test_missing_objects_are_listed(tmp_path, monkeypatch):
    contents = {**forms.pictures(), "metadata.jsonl": forms.json_lines()}
    del contents["7.jpg"]
    _, address = both(write(tmp_path / "raw", contents), "")
    with pytest.raises(records.DataError) as error:
        prepared(tmp_path, address)
    (found,) = error.value.problems
    assert found.startswith("metadata.jsonl:8: 7.jpg: missing")
    assert not (tmp_path / "data" / "folder").exists()


def test_packed_parts_of_cub_are_found_at_an_address(tmp_path):
    root = cub_folder.write(tmp_path / "raw")
    settings = data_settings.settings(tmp_path, "cub", root)
    local = [(r.name, r.captions, r.read()) for r in cub.read(settings, 0).records]
    for part in ("text", "CUB_200_2011"):
        shutil.make_archive(root / part, "gztar", root, part)
        shutil.rmtree(root / part)
    os.rename(root / "CUB_200_2011.tar.gz", root / "CUB_200_2011.tgz")
    settings.source = bucket.upload(root)
    remote = cub.read(settings, seed=0)
    assert not remote.problems
    assert [(r.name, r.captions, r.read()) for r in remote.records] == local
    settings.source = bucket.upload(root / "text.tar.gz")
    assert "CUB_200_2011/images.txt" in str(cub.read(settings, seed=0).problems)


def test_a_remote_root_is_refused_before_anything_is_read(tmp_path):
    settings = data_settings.settings("gs://bucket/data", "folder", tmp_path / "none")
    for look in (data.check, lambda settings: prepare.prepare(settings, seed=0)):
        with pytest.raises(ValueError, match="config.data.root = 'gs://bucket/data'"):
            look(settings)
    settings.update(root=str(tmp_path), source="https://a.org/raw.zip")
    with pytest.raises(ValueError, match="config.data.source = 'https://a.org/raw.zip"):
        data.check(settings)
    settings.source = "gs://bucket/raw"
    data.check(settings)
