"""Damaged records of a prepared data set: passed over in training, else an error."""

import dataclasses
import itertools
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from array_record.python import array_record_module
from support import data_settings

from mirrorgan_jax.data import damage, datasets, pipeline

SIZES = {"batch_size": 6, "image_size": 16, "num_words": 8}
# 149 and 0 are beside each other: the last one's neighbour is the first.
BAD = (41, 42, 149)
STANDS = {41: 43, 42: 43, 149: 0}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    sizes = {"train_images_per_species": 1, "test_images_per_species": 1}
    settings = data_settings.settings(root, image_size=16, **sizes)
    return datasets.load(settings, seed=3)


@pytest.fixture(params=["resized", "decoded"])
def path(request):
    """Both ways to make training batches: from kept pictures, and from records."""
    return {"cache_mib": 0 if request.param == "decoded" else 512}


def _record_file(directory, split):
    (found,) = directory.glob(f"*-{split}.array_record*")
    return found


def _damaged(split, folder, bad=BAD):
    """The split in a copy of its folder, some bytes of these pictures turned over."""
    directory = folder / "toybirds" / "copy" / "1.0.0"
    shutil.copytree(split.directory, directory)
    file = _record_file(directory, split.name)
    data = bytearray(file.read_bytes())
    for example in split.pictures.examples(bad):
        picture = example.index(b"PNG") + 200  # Compression leaves it as it is.
        start = data.index(example[picture : picture + 12])
        data[start : start + 4] = bytes(255 - b for b in data[start : start + 4])
    file.write_bytes(data)
    return dataclasses.replace(split, directory=directory)


def _take(split, count, **keys):
    arguments = {**SIZES, "seed": 5, "bad_pictures": 0.02, "say": str, **keys}
    return list(itertools.islice(pipeline.train_batches(split, **arguments), count))


def _evaluated(split, indices):
    options = {"indices": indices, "captions": np.zeros(len(indices), int)}
    return list(pipeline.eval_batches(split, **options, **SIZES))


def _elements(split, **keys):
    """The first 300 elements, which are two epochs, one array a field."""
    batches = _take(split, 50, **keys)
    return {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}


def _expected(split, element, index):
    """The picture that element `element` shows of picture `index`."""
    ids, draw, flip = pipeline.element_choices(5, element, split.captions[index], 8)
    good = damage.GoodPictures(split.pictures, 0.02, str)
    picture = split.pictures.resized(16, good)[index]
    height, width = picture.shape[:2]
    left, top = draw[0] % (width - 15), draw[1] % (height - 15)
    crop = picture[top : top + 16, left : left + 16]
    return list(ids), crop[:, ::-1] if flip else crop


def test_next_good_picture_stands_for_a_damaged_one(whole, tmp_path, path):
    good = _elements(whole.train, **path)
    found = _elements(_damaged(whole.train, tmp_path), **path)
    bad = np.isin(good["index"], BAD)
    assert bad.sum() == 6  # each in both epochs
    for key in good:
        np.testing.assert_array_equal(found[key][~bad], good[key][~bad], err_msg=key)
    for element in map(int, np.flatnonzero(bad)):
        index = STANDS[good["index"][element]]
        assert found["index"][element] == index
        assert found["class_id"][element] == whole.train.class_ids[index]
        ids, picture = _expected(whole.train, element, index)
        assert found["tokens"][element].tolist() == ids + [0] * (8 - len(ids))
        np.testing.assert_array_equal(found["image"][element], picture)


@pytest.mark.full
def test_resumed_runs_and_other_processes_take_the_same(whole, tmp_path, path):
    good = _take(whole.train, 25, **path)
    split = _damaged(whole.train, tmp_path)
    batches = _take(split, 25, **path)
    for step in [i for i, b in enumerate(good) if np.isin(b["index"], BAD).any()]:
        for rows in ([0, 1, 2, 3, 4, 5], [4, 1]):
            fresh = dataclasses.replace(split)  # knows of no damage
            (part,) = _take(fresh, 1, start_step=step, rows=rows, **path)
            for key, value in batches[step].items():
                np.testing.assert_array_equal(part[key], value[rows], err_msg=key)


def test_each_damaged_picture_is_said_once_with_the_count(whole, tmp_path, path):
    split, said = _damaged(whole.train, tmp_path), []
    _take(split, 25, say=said.append, **path)
    lines = [line for line in said if "damaged" in line]
    assert len(lines) == 3
    file = _record_file(split.directory, "train")
    for index in BAD:
        (line,) = [x for x in lines if f"picture {split.names[index]} is" in x]
        assert str(file) in line and "hash mismatch" in line and "\n" not in line
    for number, line in enumerate(lines, 1):
        assert f"({number} so far, data.bad_pictures = 0.02 allows 3)" in line
    later = []
    _take(split, 1, say=later.append, **path)  # the next stage of the same run
    assert sorted(x.split(":")[1] for x in later if "damaged" in x) == sorted(
        x.split(":")[1] for x in lines
    )


@pytest.mark.parametrize(("share", "allowed"), [(0, 0), (0.0001, 1), (0.0134, 3)])
def test_more_than_the_limit_is_an_error_in_a_sentence(
    whole, tmp_path, path, share, allowed
):
    split, said = _damaged(whole.train, tmp_path), []
    if allowed == 3:
        _take(split, 25, bad_pictures=share, **path)
        return
    with pytest.raises(ValueError) as caught:
        _take(split, 25, bad_pictures=share, say=said.append, **path)
    message = str(caught.value)
    key = f"data.bad_pictures = {share} allows {allowed}"
    assert message.endswith(
        f"{allowed + 1} of 150 pictures are damaged so far, and {key}"
    )
    assert sum("takes its place" in line for line in said) == allowed
    assert any(f"picture {split.names[i]} is damaged" in message for i in BAD)
    assert "\n" not in message and "Traceback" not in message


def test_a_split_without_a_good_picture_is_an_error(whole, tmp_path, path):
    split = _damaged(whole.train, tmp_path, [0])
    file = _record_file(split.directory, "train")
    file.write_bytes(file.read_bytes()[:-65536])  # the index of all records
    with pytest.raises(ValueError, match="150 of 150 pictures are damaged so far"):
        _take(split, 1, bad_pictures=0.999, **path)


def test_evaluation_leaves_no_picture_out(whole, tmp_path):
    split = _damaged(whole.test, tmp_path, [7])
    rest = [i for i in range(50) if i != 7]
    for actual, expected in zip(
        _evaluated(split, rest), _evaluated(whole.test, rest), strict=True
    ):
        np.testing.assert_array_equal(actual["image"], expected["image"])
    with pytest.raises(ValueError) as caught:
        _evaluated(split, np.arange(50))
    file = re.escape(str(_record_file(split.directory, "test")))
    assert re.fullmatch(
        rf"test: the prepared picture {split.names[7]} is damaged, in {file}"
        r" \(Corrupted .* hash mismatch .*\); remove the folder"
        rf" {re.escape(str(split.directory))}, and the next run prepares the data"
        " again",
        str(caught.value),
    )


def test_a_file_that_cannot_be_reached_is_no_damaged_picture(whole, tmp_path, path):
    split = _damaged(whole.train, tmp_path, [0])
    _record_file(split.directory, "train").unlink()
    with pytest.raises(ValueError, match="is not read, in .*No such file"):
        _take(split, 1, **path)
    assert not split.pictures.damaged


def _undecoded(split, folder, bad=BAD):
    """The split in a copy of its folder, the bytes of these cut, checksums right."""
    directory = folder / "toybirds" / "copy" / "1.0.0"
    shutil.copytree(split.directory, directory)
    file = _record_file(directory, split.name)
    writer = array_record_module.ArrayRecordWriter(str(file), "group_size:1")
    for index, example in enumerate(split.pictures.examples(range(len(split)))):
        if index in bad:
            parsed = tf.train.Example.FromString(example)
            picture = parsed.features.feature["image"].bytes_list
            picture.value[0] = picture.value[0][:60]
            example = parsed.SerializeToString()
        writer.write(example)
    writer.close()
    return dataclasses.replace(split, directory=directory)


def test_a_whole_record_that_is_no_picture_is_damaged_too(whole, tmp_path):
    good, said = _elements(whole.train, cache_mib=512), []
    split = _undecoded(whole.train, tmp_path)
    found = _elements(split, cache_mib=512, say=said.append)
    bad = np.isin(good["index"], BAD)
    np.testing.assert_array_equal(found["image"][~bad], good["image"][~bad])
    stands = [STANDS[index] for index in good["index"][bad]]
    assert found["index"][bad].tolist() == stands
    lines = [line for line in said if "takes its place" in line]
    for index, line in zip(BAD, lines, strict=True):
        assert f"picture {split.names[index]} is damaged" in line
    assert all("not decoded: " in line and "{{" not in line for line in lines)


def test_a_picture_that_is_not_decoded_is_an_error_in_a_sentence(whole, tmp_path):
    split = _undecoded(whole.train, tmp_path)
    said = (
        r"train: a prepared picture is not decoded \([^{}\[\n]*\); remove the folder"
        rf" {re.escape(str(split.directory))}, and the next run prepares the data again"
    )
    with pytest.raises(ValueError) as caught:
        _take(split, 25, cache_mib=0)
    assert re.fullmatch(said, str(caught.value)), caught.value
    with pytest.raises(ValueError) as caught:
        _evaluated(split, np.arange(50))
    assert re.fullmatch(said, str(caught.value)), caught.value
