"""Folders and archives: the same files, nothing outside, nothing without a limit."""

import io
import os
import tarfile
import zipfile

import pytest

from mirrorgan_jax.data.sources import archives, digests, files, records

CONTENTS = {"a.txt": b"first", "b/c.JPG": b"second", "b/\u00fc.png": b"third"}
JUNK = {"b/.DS_Store": b"x", "b/._c.JPG": b"x", "__MACOSX/b/c.JPG": b"x"}


def make_folder(path, contents):
    for name, data in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def make_zip(path, contents):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def make_tar(path, contents):
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def make_twice(path, name):
    """An archive with two members of one name."""
    if path.suffix == ".zip":
        other = name.replace("a", "b")
        data = make_zip(path, {name: b"1", other: b"2"}).read_bytes()
        path.write_bytes(data.replace(other.encode(), name.encode()))
        return
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo(name))


def make(path, contents):
    how = {"": make_folder, ".zip": make_zip}.get(path.suffix, make_tar)
    return how(path, contents)


def problem(source):
    with pytest.raises(records.DataError) as error:
        files.open_source(source)
    (found,) = error.value.problems
    return found


KINDS = ["raw", "raw.zip", "raw.tar", "raw.tar.gz", "raw.tar.bz2", "raw.tar.xz"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("top", ["", "birds/"])
def test_every_kind_gives_the_same_files(tmp_path, name, top):
    if name == "raw" and top:
        pytest.skip("a folder is the one that was named")
    contents = {f"{top}{n}": data for n, data in CONTENTS.items()}
    found = files.open_source(make(tmp_path / name, {**contents, **JUNK}))
    assert found.names == tuple(sorted(CONTENTS))
    assert {n: found.read(n) for n in found.names} == CONTENTS
    with pytest.raises(KeyError):
        found.read("d.txt")
    assert found.read("a.txt", limit=5) == b"first"
    with pytest.raises(ValueError, match="larger than"):
        found.read("a.txt", limit=4)


def test_names_are_found_as_people_spell_them(tmp_path):
    found = files.open_source(make_folder(tmp_path / "raw", CONTENTS))
    for name in ("b/c.JPG", "b/c.jpg", "./b/c.JPG", "b\\c.jpg", "b//./c.jpg"):
        assert found.find(name) == "b/c.JPG"
    assert found.find("b/u\u0308.png") == "b/\u00fc.png"
    assert found.find("b/C.jpg") is None and found.find("c.JPG") is None
    make_folder(tmp_path / "raw", {"b/c.jpg": b"another"})
    found = files.open_source(tmp_path / "raw")
    assert found.find("b/c.jpg") == "b/c.jpg"
    with pytest.raises(ValueError, match="b/c.Jpg could be b/c.JPG or b/c.jpg"):
        found.find("b/c.Jpg")


@pytest.mark.parametrize("name", KINDS)
def test_digest_is_of_contents_and_remembers_what_it_read(tmp_path, name, monkeypatch):
    memory = tmp_path / "memory"

    def digest(contents):
        source = make(tmp_path / name, contents)
        return files.open_source(source).digest(remembered=memory)

    first = digest(CONTENTS)
    assert digest({**CONTENTS, "a.txt": b"FIRST"}) != first  # of the same size
    make(tmp_path / name, CONTENTS)
    source = files.open_source(tmp_path / name)
    assert source.digest(["a.txt"]) != source.digest(["a.txt", "b/c.JPG"])
    again = source.digest(remembered=memory)
    if name == "raw":
        assert again == first
    monkeypatch.setattr(digests.hashlib, "file_digest", None)
    assert source.digest(remembered=memory) == again  # nothing is read
    (note,) = memory.iterdir()
    note.write_text("no JSON")
    with pytest.raises(TypeError):
        source.digest(remembered=memory)


def test_links_that_lead_out_are_refused(tmp_path):
    make_folder(tmp_path, {"secret/a.txt": b"", "raw/b.txt": b"inside"})
    (tmp_path / "raw" / "inside").symlink_to(tmp_path / "raw" / "b.txt")
    found = files.open_source(tmp_path / "raw")
    assert found.read("inside") == b"inside"
    for target in (tmp_path / "secret", tmp_path / "secret" / "a.txt"):
        link = tmp_path / "raw" / "out"
        link.symlink_to(target)
        assert "raw: out is a link that leads out of the folder" in problem(link.parent)
        link.unlink()


def test_devices_and_pipes_are_no_files(tmp_path):
    make_folder(tmp_path / "raw", {"a.txt": b""})
    os.mkfifo(tmp_path / "raw" / "b.txt")
    assert files.open_source(tmp_path / "raw").names == ("a.txt",)
    assert "neither a file nor a folder" in problem(tmp_path / "raw" / "b.txt")


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "neither folder nor zip nor tar, but empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "but a pointer of Git LFS"),
        (b"\n<!DOCTYPE html>", "but a web page"),
        (b"a picture", "neither folder nor zip nor tar"),
    ],
)
def test_a_file_of_another_kind_is_said_by_what_it_is(tmp_path, contents, reason):
    (tmp_path / "raw.zip").write_bytes(contents)
    assert reason in problem(tmp_path / "raw.zip")
    assert problem(tmp_path / "none").endswith("none: missing")


@pytest.mark.parametrize("name", KINDS[1:])
def test_names_that_leave_the_archive_or_stand_twice_are_refused(tmp_path, name):
    for wrong in ("../a.txt", "/a.txt", "b/../../a.txt"):
        source = make(tmp_path / name, {"b.txt": b"", wrong: b""})
        assert "leaves the archive" in problem(source)
    make_twice(tmp_path / name, "a.txt")
    assert "member 'a.txt' is there twice" in problem(tmp_path / name)


@pytest.mark.parametrize("name", KINDS[1:])
def test_damage_is_a_sentence(tmp_path, name):
    source = make(tmp_path / name, {f"{i}.txt": os.urandom(3000) for i in range(9)})
    whole = source.read_bytes()
    # A tar is whole with the first empty block behind its members.
    end = 9 * (512 + 3072) if name == "raw.tar" else len(whole) - 1
    for length in range(0, end, end // 40):
        source.write_bytes(whole[:length])
        assert problem(source).count("\n") == 0


def test_what_a_zip_hides_is_said(tmp_path):
    source = make_zip(tmp_path / "a.zip", {"a.txt": b"some text" * 9})
    data = source.read_bytes()
    for offset, mark, reason in ((6, 1, "encrypted"), (8, 9, "cannot be unpacked")):
        changed = bytearray(data)
        changed[offset] = changed[data.index(b"PK\1\2") + offset + 2] = mark
        source.write_bytes(changed)
        with pytest.raises(ValueError, match=reason):
            files.open_source(source).read("a.txt")
    changed = bytearray(data)
    changed[data.index(b"a.txt") + 7] ^= 255
    source.write_bytes(changed)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        files.open_source(source).read("a.txt")


def test_a_zip_of_another_country_keeps_its_names(tmp_path):
    for encoding in ("utf-8", "gbk"):
        name = "\u9e1f.jpg".encode(encoding)
        source = make_zip(tmp_path / "a.zip", {"x" * len(name): b"bird"})
        data = source.read_bytes().replace(b"x" * len(name), name)
        source.write_bytes(data)
        assert files.open_source(source).names == ("\u9e1f.jpg",)


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.xz"])
def test_bombs_stop_at_the_limit(tmp_path, name, monkeypatch):
    monkeypatch.setattr(archives, "ALLOWED", 2**20)
    monkeypatch.setattr(archives, "GROWTH", 2)
    source = make(tmp_path / name, {"a.txt": bytes(2**23)})
    if name == "bomb.zip":
        with pytest.raises(ValueError, match="larger than 1 MiB"):
            files.open_source(source).read("a.txt", limit=2**20)
    else:
        assert "unpacks to more than" in problem(source)


def test_names_are_printed_without_what_a_terminal_acts_on():
    assert records.printable("\x1b[31mred\r.jpg \u00fc") == "\\x1b[31mred\\r.jpg \u00fc"
