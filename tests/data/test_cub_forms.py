"""CUB-200-2011 in every form that people have: packed, in birds/, names and splits."""

import gzip
import pickle
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from support import cub_folder, data_settings

from mirrorgan_jax import text
from mirrorgan_jax.data import datasets
from mirrorgan_jax.data.sources import cub, cub_split, records

NAMES = cub_folder.NAMES


def _read(source):
    return cub.read(data_settings.settings("", "cub", source), 0)


@pytest.fixture
def source(tmp_path):
    return cub_folder.write(tmp_path / "raw")


def contents(found):
    """What records hold, in their order."""
    assert not found.problems
    return [
        (r.split, r.name, tuple(r.captions), r.class_id, r.box, r.read())
        for r in found.records
    ]


def tar(path, root, *parts):
    """A .tgz of parts of a folder."""
    with tarfile.open(path, "w:gz") as archive:
        for part in parts:
            archive.add(root / part, part)


def packed_pictures(root):
    """Caltech's archive as it is downloaded, with a file beside the folder."""
    (root / "attributes.txt").write_text("1 has_bill_shape::curved\n")
    tar(root / "CUB_200_2011.tgz", root, "CUB_200_2011", "attributes.txt")
    shutil.rmtree(root / "CUB_200_2011")
    (root / "attributes.txt").unlink()
    return root


def packed_everything(root):
    packed_pictures(root)
    tar(root / "text.tar.gz", root, "text")
    shutil.rmtree(root / "text")
    return root


def in_birds(root):
    """AttnGAN's folders: data/birds/..."""
    (root / "birds").mkdir()
    for part in ("CUB_200_2011", "text", "train", "test"):
        (root / part).rename(root / "birds" / part)
    return root


def reeds_captions(root):
    """text_c10/ within the folder of the paper's captions, beside other files."""
    (root / "cvpr2016_cub").mkdir()
    (root / "text").rename(root / "cvpr2016_cub/text_c10")
    (root / "cvpr2016_cub/allclasses.txt").write_text("001.Blue\n")
    (root / "cvpr2016_cub/bow_c10.t7").write_bytes(b"\0")
    return root


def metadata_zip(root):
    """AttnGAN's birds.zip, with __MACOSX, beside Caltech's archive."""
    packed_pictures(root)
    with zipfile.ZipFile(root / "birds.zip", "w") as archive:
        for part in ("text", "train", "test"):
            for path in sorted((root / part).rglob("*")):
                archive.write(path, f"birds/{path.relative_to(root)}")
            shutil.rmtree(root / part)
        archive.writestr("__MACOSX/birds/._text", b"\0")
    return root


def one_tar(root):
    tar(root.parent / "all.tgz", root.parent, root.name)
    return root.parent / "all.tgz"


def other_ending(root):
    path = root / f"CUB_200_2011/images/{NAMES[0]}.jpg"
    path.rename(path.with_suffix(".JPG"))
    return root


FORMS = [
    packed_pictures,
    packed_everything,
    in_birds,
    reeds_captions,
    metadata_zip,
    one_tar,
    other_ending,
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_records(source, form):
    expected = contents(_read(source))
    found = _read(form(source))
    assert contents(found) == expected
    assert found.vocabulary is None
    assert "CUB-200-2011: pictures of " in found.notes[0]
    assert "2 + 1 pictures to train and test, which train/" in found.notes[0]


def test_without_pickles_the_split_is_built_in_and_said(source):
    expected = contents(_read(source))
    for split in records.SPLITS:
        shutil.rmtree(source / split)
    found = _read(source)
    assert contents(found) == expected
    assert "by the paper's classes" in found.notes[0]
    assert "filenames.pickle: missing" in found.notes[0]


def test_half_a_split_is_refused(source):
    (source / "test/filenames.pickle").unlink()
    (problem,) = _read(source).problems
    assert problem.startswith("test/filenames.pickle: missing, and that of the other")


@pytest.mark.parametrize(
    "spelt",
    [
        lambda name: name,
        lambda name: f"{name}.jpg",
        lambda name: f"birds/{name}",
        lambda name: f"./CUB_200_2011/images/{name}.JPG",
        lambda name: f"CUB_200_2011\\images\\{name}.jpg".replace("/", "\\"),
        lambda name: name.encode(),
        lambda name: np.str_(name),
    ],
)
def test_names_of_any_spelling_and_protocol_mean_their_pictures(source, spelt):
    expected = [(r.split, r.name, r.class_id) for r in _read(source).records]
    for split in records.SPLITS:
        (source / split / "class_info.pickle").unlink()
    bare = spelt(NAMES[0]) in (NAMES[0], NAMES[0].encode())
    kinds = (list, tuple, np.array, lambda names: np.array(names, object))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for kind in kinds:
            for split, part in (("train", NAMES[:2]), ("test", NAMES[2:])):
                content = pickle.dumps(kind([spelt(n) for n in part]), protocol)
                (source / split / "filenames.pickle").write_bytes(content)
            found = _read(source)
            assert not found.problems
            assert [(r.split, r.name, r.class_id) for r in found.records] == expected
            said = [n for n in found.notes if "is read as 002.Red/Red_1" in n]
            assert bool(said) != bare


@pytest.mark.parametrize(
    ("train", "classes", "problem"),
    [
        ([*NAMES[:2], "birds/" + NAMES[0]], None, "listed before, in train"),
        ([*NAMES[:2], NAMES[2] + ".jpg"], None, "is listed before, in train"),
        ([*NAMES[:2], "002.Red/Red_9"], None, "is not in CUB_200_2011/images.txt"),
        ([*NAMES[:2], "Red_1"], None, "'Red_1' is not a picture's name"),
        ([*NAMES[:2], "a/../b/c"], None, "'a/../b/c' is not a picture's name"),
        ([*NAMES[:2], "a/\x1b[2J"], None, "'a/\\x1b[2J' is not a picture's name"),
        ([*NAMES[:2], ["a"]], None, "['a'] is not a picture's name"),
        ([*NAMES[:2], 3], None, "3 is not a picture's name"),
        (NAMES[:2], [2, 3], "class 3, but others of its folder have 2"),
        (NAMES[:2], [1, 1], "class 1 is that of '002.Red' too"),
        (NAMES[:2], [2, "2"], "class_info.pickle: item 1: '2' is no class"),
        (NAMES[:2], [2, True], "class_info.pickle: item 1: True is no class"),
        (NAMES[:2], [2, -2], "class_info.pickle: item 1: -2 is no class"),
        (NAMES[:2], [2], "1 classes for 2 pictures"),
        ([], None, "train/filenames.pickle: lists no picture"),
        ({"a": 1}, None, "train/filenames.pickle: {'a': 1}, not a list"),
        (list(NAMES), [2, 2, 1], "001.Blue/Blue_1 is listed before, in train"),
    ],
)  # fmt: skip
def test_split_that_cannot_be_told_is_refused(source, train, classes, problem):
    (source / "train/filenames.pickle").write_bytes(pickle.dumps(train, 2))
    path = source / "train/class_info.pickle"
    path.write_bytes(pickle.dumps(classes, 2)) if classes else path.unlink()
    problems = _read(source).problems
    assert any(problem in p for p in problems)
    assert all(p.isprintable() for p in problems)


@pytest.mark.parametrize("protocol", [0, 2])
def test_pickles_with_changed_line_ends_are_said(source, protocol):
    path = source / "train/class_info.pickle"
    changed = pickle.dumps([10, 10], protocol).replace(b"\n", b"\r\n")
    path.write_bytes(changed)
    (problem,) = [p for p in _read(source).problems if "CRLF" in p]
    assert problem.startswith("train/class_info.pickle: its line ends were changed")


def test_what_is_missing_is_said_with_what_is_accepted(source, tmp_path):
    shutil.rmtree(source / "text")
    (problem,) = _read(source).problems
    assert "no captions" in problem and "text_c10/<class>/<image>.txt" in problem
    assert "captions.pickle" in problem and "AttnGAN" in problem
    (tmp_path / "empty").mkdir()
    first, second = _read(tmp_path / "empty").problems
    assert "CUB_200_2011/images.txt: missing" in first and second == problem
    (tmp_path / "empty/CUB_200_2011.tgz").write_bytes(b"<html>not found</html>")
    problems = _read(tmp_path / "empty").problems
    assert any("CUB_200_2011.tgz" in p and "a web page" in p for p in problems)


def test_archive_within_an_archive_is_said(source, tmp_path):
    packed_pictures(source)
    tar(tmp_path / "all.tgz", source, ".")
    problems = _read(tmp_path / "all.tgz").problems
    assert any("CUB_200_2011.tgz: an archive within an archive" in p for p in problems)


def test_part_that_is_there_twice_is_said(source):
    shutil.copytree(source / "text", source / "text_c10")
    (source / f"text_c10/{NAMES[0]}.txt").write_text("something else\n")
    found = _read(source)
    assert found.records[0].captions[0] == "a bird, number 1."
    assert "text_c10 is left out beside text" in found.notes


def test_table_that_names_a_picture_twice_is_refused(source):
    path = source / "CUB_200_2011/images.txt"
    path.write_text(path.read_text() + f"3 x/y.jpg\n4 {NAMES[0]}.JPG\n5 ../../x.jpg\n")
    boxes = source / "CUB_200_2011/bounding_boxes.txt"
    boxes.write_text(boxes.read_text() + "1 0 0 1 1\n")
    problems = _read(source).problems
    for start in (
        "CUB_200_2011/images.txt:4: '3' again",
        "CUB_200_2011/images.txt:5: '002.Red/Red_1' again",
        "CUB_200_2011/images.txt:6: '../../x.jpg' is not a picture's name",
        "CUB_200_2011/bounding_boxes.txt:4: '1' again",
    ):
        assert start in problems


def test_fingerprint_is_that_of_what_is_read(source):
    def fingerprint():
        return cub.fingerprint(data_settings.settings("", "cub", source), 0)

    before = fingerprint()
    (source / "notes.docx").write_bytes(b"mine")
    assert fingerprint() == before
    for name in (f"CUB_200_2011/images/{NAMES[0]}.jpg", "train/filenames.pickle"):
        content = (source / name).read_bytes()
        (source / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert fingerprint() != before  # of equal size
        before = fingerprint()


def test_cub_mini_is_prepared_the_same_in_every_form(tmp_path):
    mini = data_settings.real("cub_mini")
    first = datasets.load(data_settings.settings(tmp_path / "a", "cub", mini), seed=0)
    copy = tmp_path / "packed"
    copy.mkdir()
    tar(copy / "CUB_200_2011.tgz", mini, "CUB_200_2011")
    tar(copy / "captions.tar.gz", mini, "text")
    again = datasets.load(data_settings.settings(tmp_path / "b", "cub", copy), seed=0)
    # Without pickles, pictures come in the order of images.txt.
    assert set(zip(again.train.names, again.train.texts, strict=True)) == set(
        zip(first.train.names, first.train.texts, strict=True)
    )
    assert sorted(again.test.class_ids) == sorted(first.test.class_ids)
    tar(tmp_path / "mini.tgz", mini.parent, "cub_mini")
    settings = data_settings.settings(tmp_path / "c", "cub", tmp_path / "mini.tgz")
    whole = datasets.load(settings, seed=0)
    assert whole.vocab == first.vocab
    assert whole.train.names == first.train.names
    assert whole.train.captions == first.train.captions
    assert whole.test.boxes.tolist() == first.test.boxes.tolist()


def test_all_of_cub_has_the_known_counts(tmp_path):
    meta = data_settings.real("cub_meta")
    (tmp_path / "CUB_200_2011").mkdir()
    for name in ("images.txt", "bounding_boxes.txt"):
        content = gzip.decompress((meta / f"CUB_200_2011/{name}.gz").read_bytes())
        (tmp_path / "CUB_200_2011" / name).write_bytes(content)
    shutil.copyfile(meta / "text.tar.gz", tmp_path / "text.tar.gz")
    for split in records.SPLITS:
        shutil.copytree(meta / split, tmp_path / split)
    found = _read(tmp_path)
    assert not found.problems
    splits = {s: [r for r in found.records if r.split == s] for s in records.SPLITS}
    assert [len(own) for own in splits.values()] == [8855, 2933]
    assert [sum(len(r.captions) for r in own) for own in splits.values()] == [
        88_550,
        29_330,
    ]
    assert [len({r.class_id for r in own}) for own in splits.values()] == [150, 50]
    assert all(r.class_id == int(r.name[:3]) for r in found.records)
    captions = [caption for r in found.records for caption in r.captions]
    assert len(text.Vocabulary.from_captions(captions)) == 5450
    # The split that is built in is that of the pickles.
    built_in = cub_split.built_in(
        [r.name.removesuffix(".jpg") for r in found.records], []
    )
    for split, own in splits.items():
        listed = [(r.name, r.class_id) for r in own]
        assert [(f"{i.name}.jpg", i.class_id) for i in built_in[split]] == listed
