"""The reader of CUB-200-2011: layout, pickles of Python 2, and what it refuses."""

import pickle

import pytest
from support import cub_folder, data_settings

from mirrorgan_jax.data import datasets, pipeline, prepare
from mirrorgan_jax.data.sources import cub, records


def _settings(source, root=""):
    return data_settings.settings(root, "cub", source)


def _load(source, root):
    return datasets.load(_settings(source, root), seed=0)


@pytest.fixture
def source(tmp_path):
    """Two training pictures of class 2 and one test picture of class 1."""
    return cub_folder.write(tmp_path / "raw")


def test_read_joins_lists_captions_and_split(source):
    found, problems, *_ = cub.read(_settings(source), 0)
    assert not problems
    assert [r.split for r in found] == ["train", "train", "test"]
    assert [r.class_id for r in found] == [2, 2, 1]
    assert found[0].captions == ["a bird, number 1.", *["the bird"] * 9]
    assert found[0].box == (10.0, 5.0, 20.0, 10.0)
    assert found[0].class_name == "002.Red"


def test_load_gives_vocabulary_in_order_of_appearance(source, tmp_path):
    data = _load(source, tmp_path / "data")
    assert data.vocab.words == (*"<end> a bird number 1 the 2 3".split(),)
    assert data.train.captions[1][0] == (1, 2, 3, 6)
    assert data.train.class_ids.tolist() == [2, 2]
    assert data.train.attributes is None
    assert data.test.boxes.tolist() == [[1, 1, 60, 40]]
    again = _load("", tmp_path / "data")
    assert again.train.texts == data.train.texts


def test_every_problem_is_listed_with_file_and_line(source, tmp_path):
    lists = source / "CUB_200_2011"
    (lists / "images/002.Red/Red_1.jpg").write_bytes(b"\xff\xd8 no picture")
    (lists / "images/002.Red/Red_2.jpg").unlink()
    (lists / "bounding_boxes.txt").write_text(
        "1 1 1 9 9\n2 1 1 9 9\n3 100.0 5.0 20.0 10.0\n"
    )
    (source / "text/002.Red/Red_1.txt").write_text("a bird\n???\n")
    (source / "text/002.Red/Red_2.txt").write_text("\n\n")
    with pytest.raises(records.DataError) as error:
        _load(source, tmp_path / "data")
    expected = [
        "text/002.Red/Red_1.txt:2: caption '???' has no words",
        "text/002.Red/Red_2.txt:1: no caption",
        "CUB_200_2011/images.txt:1: 002.Red/Red_1.jpg: no picture",
        "CUB_200_2011/images.txt:2: 002.Red/Red_2.jpg: missing",
        "CUB_200_2011/bounding_boxes.txt:3: 001.Blue/Blue_1.jpg: bad box",
    ]
    assert len(error.value.problems) == len(expected)
    for problem, start in zip(error.value.problems, expected, strict=True):
        assert problem.startswith(start)
        assert start in str(error.value)
    assert not (tmp_path / "data").exists()


def test_split_that_does_not_fit_the_lists_is_refused(source):
    names = ["002.Red/Red_1", "../../etc/passwd", "002.Red/Red_9"]
    (source / "train/filenames.pickle").write_bytes(pickle.dumps(names, 2))
    (source / "test/class_info.pickle").write_bytes(pickle.dumps(eval, 2))
    _, problems, *_ = cub.read(_settings(source), 0)
    text_ = "\n".join(problems)
    assert "2 classes for 3 pictures" in text_
    assert "'../../etc/passwd' is not a picture's name" in text_
    assert "test/class_info.pickle: byte 2: __builtin__.eval is refused" in text_


def test_fingerprint_changes_with_the_files(source):
    before = cub.fingerprint(_settings(source), 0)
    assert before == cub.fingerprint(_settings(source), 0)
    (source / "text/002.Red/Red_1.txt").write_text("another bird\n")
    assert cub.fingerprint(_settings(source), 0) != before


def test_cub_mini_is_read_whole(tmp_path):
    data = _load(data_settings.real("cub_mini"), tmp_path)
    assert (len(data.train), len(data.test)) == (35, 25)
    assert set(data.train.class_ids) == {2, 3, 5, 7, 10}
    assert set(data.test.class_ids) == {1, 4, 6, 8, 9}
    assert all(len(texts) == 10 for texts in data.train.texts + data.test.texts)
    assert "009.Brewer_Blackbird/Brewer_Blackbird_0028_2682.jpg" in data.test.names
    batches = pipeline.train_batches(
        data.train, batch_size=4, image_size=256, num_words=18, seed=0, cache_mib=512
    )
    batch = next(batches)
    assert batch["image"].shape == (4, 256, 256, 3)
    assert batch["image"].std() > 10
    assert batch["length"].max() <= 18


def test_neither_given_nor_prepared_is_refused(tmp_path):
    with pytest.raises(ValueError, match="source of 'cub' is empty and 0 prepared"):
        prepare.prepare(_settings("", tmp_path), seed=0)
