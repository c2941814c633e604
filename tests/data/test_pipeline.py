"""The stateless pipeline: streams of batches on both data paths."""

import contextlib
import dataclasses
import errno
import gc
import itertools
import os

import numpy as np
import pytest
from support import data_settings

from mirrorgan_jax.data import damage, datasets, images, pipeline, resized
from mirrorgan_jax.data.toybirds import birds

OPTIONS = {
    "image_size": 32,
    "train_images_per_species": 1,
    "test_images_per_species": 1,
}
SIZES = {"batch_size": 6, "image_size": 32, "num_words": 8}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    return datasets.load(data_settings.settings(root, **OPTIONS), seed=3)


@pytest.fixture(params=["resized", "decoded"])
def path(request):
    """Both ways to make training batches: from kept pictures, and from records."""
    return {"cache_mib": 0 if request.param == "decoded" else 512}


def _take(split, count, **keys):
    arguments = {**SIZES, "seed": 5, "cache_mib": 512, **keys}
    return list(itertools.islice(pipeline.train_batches(split, **arguments), count))


def _assert_equal(actual, expected):
    assert actual.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(actual[key], expected[key], err_msg=key)


def test_prepared_data_holds_what_was_drawn(data):
    assert (len(data.train), len(data.test)) == (150, 50)
    bird = birds.example("test", 4, seed=3, images_per_species=1, size=32)
    assert data.test.texts[4] == tuple(bird.captions)
    assert data.test.class_ids[4] == bird.class_id
    np.testing.assert_array_equal(data.test.attributes[4], bird.attributes)
    assert data.test.attributes.shape == (50, len(birds.ATTRIBUTES))
    assert not set(data.train.class_ids) & set(data.test.class_ids)
    assert data.vocab.decode(data.test.captions[4][0])
    example = data.test.pictures.examples([4])[0]
    picture = images.decode_example(example, np.zeros(4, np.int32))
    np.testing.assert_array_equal(picture.numpy(), bird.draw())


def test_batch_has_the_agreed_shapes_and_types(data, path):
    (batch,) = _take(data.train, 1, **path)
    assert {k: (v.shape, v.dtype.name) for k, v in batch.items()} == {
        "image": ((6, 32, 32, 3), "uint8"),
        "tokens": ((6, 8), "int32"),
        "length": ((6,), "int32"),
        "class_id": ((6,), "int32"),
        "index": ((6,), "int32"),
    }
    np.testing.assert_array_equal(
        batch["class_id"], data.train.class_ids[batch["index"]]
    )
    words = np.arange(8) < batch["length"][:, None]
    np.testing.assert_array_equal(batch["tokens"] > 0, words)


def test_no_epoch_of_a_small_set_stands_in_the_order_of_its_files(data):
    epochs = _take(data.train, 60, batch_size=150)
    orders = [batch["index"] for batch in epochs]
    assert all(sorted(order) == [*range(150)] for order in orders)
    correlations = [np.corrcoef(order, np.arange(150))[0, 1] for order in orders]
    # Of 60 true permutations hardly one reaches 0.3.
    assert np.abs(correlations).max() < 0.35


def test_same_seed_gives_the_same_stream_and_another_seed_another(data, path):
    first, second = _take(data.train, 4, **path), _take(data.train, 4, **path)
    for a, b in zip(first, second, strict=True):
        _assert_equal(a, b)
    other = _take(data.train, 1, seed=6, **path)[0]
    assert (other["index"] != first[0]["index"]).any()


def test_start_step_resumes_the_stream_across_epochs(data, path):
    whole = _take(data.train, 60, **path)  # 2.4 epochs
    for start in (1, 24, 25, 51):
        _assert_equal(_take(data.train, 1, start_step=start, **path)[0], whole[start])


def test_every_epoch_holds_every_picture_once_in_another_order(data, path):
    indices = np.concatenate([b["index"] for b in _take(data.train, 51, **path)])
    epochs = indices[:300].reshape(2, 150)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(150))
    assert (epochs[0] != epochs[1]).any()
    assert (epochs[0] != np.arange(150)).any()


@pytest.mark.parametrize("parts", [([0, 1, 2], [3, 4, 5]), ([5, 0], [1, 4, 2, 3])])
def test_rows_of_processes_join_to_the_global_batch(data, path, parts):
    whole = _take(data.train, 28, **path)
    for rows in parts:
        for part, batch in zip(
            _take(data.train, 28, rows=rows, **path), whole, strict=True
        ):
            _assert_equal(part, {key: value[rows] for key, value in batch.items()})


def test_kept_and_decoded_pictures_are_the_same_bits(data):
    # Free disk decides between them, and may be another after a resume.
    decoded = _take(data.train, 50, cache_mib=0)
    for a, b in zip(_take(data.train, 50), decoded, strict=True):
        _assert_equal(a, b)


def test_boxes_crop_photographs_and_not_drawn_birds(data):
    whole = _take(data.train, 1)[0]["image"]
    boxes = np.tile(np.array([2, 10, 8, 6], np.int32), (150, 1))
    split = dataclasses.replace(data.train, boxes=boxes)
    np.testing.assert_array_equal(_take(split, 1)[0]["image"], whole)
    split = dataclasses.replace(split, crop_to_box=True)
    cropped = _take(split, 1)[0]["image"]
    assert np.abs(whole.astype(int) - cropped).mean() > 10
    decoded = _take(split, 1, cache_mib=0)[0]["image"]
    np.testing.assert_array_equal(decoded, cropped)


def test_split_cannot_be_changed(data):
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.train.boxes = data.test.boxes
    for array in (data.train.class_ids, data.train.attributes, data.train.boxes):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    for value in (data.train.texts, data.train.captions, data.train.captions[0]):
        assert isinstance(value, tuple) and isinstance(value[0], tuple)


def _good(split):
    return damage.GoodPictures(split.pictures, 0.0, str)


def test_resized_pictures_are_made_once_and_for_one_size(data):
    split = dataclasses.replace(data.train)
    _take(split, 1)
    first = split.pictures.resized(32, _good(split))
    assert len(first) == 150 and first[0].shape == (38, 38, 3)
    assert first.nbytes == 150 * 38 * 38 * 3
    _take(split, 1)
    assert split.pictures.resized(32, _good(split)) is first
    _take(split, 1, image_size=16)
    assert split.pictures.resized(16, _good(split))[0].shape == (19, 19, 3)
    assert split.pictures.resized(32, _good(split)) is not first


def _open_files(folder):
    """Open files of this process below a folder that have no name."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return [x for x in links if x.startswith(f"{folder}/") and "(deleted)" in x]


def test_kept_pictures_are_in_a_file_that_nobody_sees_and_that_goes(data):
    split = dataclasses.replace(data.train)
    before = set(split.directory.iterdir()), len(_open_files(split.directory))
    batches = pipeline.train_batches(split, **SIZES, seed=5, cache_mib=512, say=str)
    next(batches)
    assert set(split.directory.iterdir()) == before[0]
    assert len(_open_files(split.directory)) == before[1] + 1
    del batches, split
    gc.collect()
    assert len(_open_files(data.train.directory)) == before[1]


def test_a_disk_that_fails_under_kept_pictures_is_said_as_it_was(data, monkeypatch):
    def broken(self, index, top, count):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(resized.Resized, "rows", broken)
    with pytest.raises(OSError, match="Input/output error") as caught:
        _take(dataclasses.replace(data.train), 1)
    assert caught.value.errno == errno.EIO


def test_kept_pictures_of_any_sizes_are_read_as_they_were_written(tmp_path):
    random = np.random.default_rng(0)
    pictures = [
        random.integers(0, 256, (height, width, 3), np.uint8)
        for height, width in ((5, 9), (1, 3), (20, 4))
    ]
    kept = resized.Resized(tmp_path)
    for picture in pictures:
        kept.append(picture[::-1])  # not contiguous
    assert len(kept) == 3 and kept.nbytes == sum(p.nbytes for p in pictures)
    for index, picture in enumerate(pictures):
        assert kept.shape(index) == picture.shape[:2]
        np.testing.assert_array_equal(kept[index], picture[::-1])
    np.testing.assert_array_equal(kept.rows(2, 7, 3), pictures[2][::-1][7:10])


def test_choice_of_the_data_path_is_said_with_its_key(data, monkeypatch):
    said = []
    monkeypatch.setattr(resized, "free_bytes", lambda directory: 2000 * 2**20)
    _take(data.train, 1, say=said.append)
    _take(data.train, 1, say=said.append, cache_mib=0)
    # 150 pictures of 38 x 38 need 0.6 MiB, and 0.9 if they were no squares.
    _take(data.train, 1, say=said.append, cache_mib=0.86)
    _take(data.train, 1, say=said.append, cache_mib=0.87)
    kept = (
        "train: 150 pictures kept resized to 38 pixels, 1 MiB of disk"
        " (data.cache_mib = "
    )
    anew = (
        "train: 150 pictures decoded anew every epoch: kept resized they would need"
        " about 1 MiB of disk (data.cache_mib = "
    )
    assert said == [
        f"{kept}512)",
        f"{anew}0, 2,000 free)",
        f"{anew}0.86, 2,000 free)",
        f"{kept}0.87)",
    ]


def test_a_full_disk_means_decoding_every_epoch(data, monkeypatch):
    said, decoded = [], _take(data.train, 2, cache_mib=0)
    with monkeypatch.context() as patched:
        patched.setattr(resized, "free_bytes", lambda directory: 1.7 * 2**20)
        batches = _take(data.train, 2, say=said.append)
    assert "anew every epoch" in said[0] and "2 free)" in said[0]
    for batch, expected in zip(batches, decoded, strict=True):
        _assert_equal(batch, expected)

    def full(self, picture):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(resized.Resized, "append", full)
    batches = _take(dataclasses.replace(data.train), 2, say=said.append)
    assert "anew every epoch: [Errno 28] No space left on device" in said[1]
    for batch, expected in zip(batches, decoded, strict=True):
        _assert_equal(batch, expected)


def test_choices_are_spread_and_subsets_keep_order():
    captions = [list(range(1, 31)), list(range(31, 36))]
    draws = [pipeline.element_choices(1, i, captions, 18) for i in range(400)]
    long = [ids for ids, _, _ in draws if ids[0] <= 30]
    assert 150 < len(long) < 250
    assert all(len(ids) == 18 and ids == sorted(set(ids)) for ids in long)
    counts = np.bincount(np.concatenate(long), minlength=31)[1:] / len(long)
    assert np.abs(counts - 18 / 30).max() < 0.15
    assert 150 < sum(flip for _, _, flip in draws) < 250
    assert len({draw for _, draw, _ in draws}) == 400
    assert all(0 <= v < 2**31 for _, draw, _ in draws for v in draw)


def test_half_of_the_elements_are_mirror_images_as_the_choices_say(data, path):
    flips = []
    for step, batch in enumerate(_take(data.train, 20, **path)):
        for row, index in enumerate(batch["index"]):
            bird = birds.example("train", index, seed=3, images_per_species=1, size=32)
            _, draw, flip = pipeline.element_choices(
                5, step * 6 + row, data.train.captions[index], 8
            )
            crop = images.crop_resized(bird.draw(), 32, np.array(draw)).numpy()
            both = np.stack([crop, crop[:, ::-1]]).astype(int)
            plain, mirrored = np.abs(batch["image"][row] - both).max((1, 2, 3))
            assert (mirrored if flip else plain) <= 1, (step, row)
            assert (plain if flip else mirrored) > 1, (step, row)
            flips.append(flip)
    assert 0.35 < np.mean(flips) < 0.65


def test_training_flips_and_crops_the_picture(data):
    target = [b for b in _take(data.train, 100) if 0 in b["index"]]
    pictures = [b["image"][list(b["index"]).index(0)] for b in target]
    assert len(pictures) >= 3
    assert any((a != b).any() for a, b in itertools.combinations(pictures, 2))


def test_eval_batches_take_centre_first_words_and_mark_padding(data):
    split, indices, captions = data.test, [7, 0, 7, 49], [0, 9, 3, 2]
    batches = list(
        pipeline.eval_batches(
            split,
            indices=indices,
            captions=captions,
            batch_size=3,
            image_size=32,
            num_words=6,
        )
    )
    assert [b["valid"].tolist() for b in batches] == [[True] * 3, [True, False, False]]
    assert [b["index"].tolist() for b in batches] == [[7, 0, 7], [49, 49, 49]]
    for i, (index, caption) in enumerate(zip(indices, captions, strict=True)):
        batch, row = batches[i // 3], i % 3
        ids = split.captions[index][caption][:6]
        assert batch["tokens"][row].tolist() == [*ids, *[0] * (6 - len(ids))]
        assert batch["length"][row] == len(ids)
        bird = birds.example("test", index, seed=3, images_per_species=1, size=32)
        expected = images.crop_resized(bird.draw(), 32).numpy()
        np.testing.assert_array_equal(batch["image"][row], expected)


def test_eval_rows_join_to_the_global_batch(data):
    def take(rows):
        return list(
            pipeline.eval_batches(
                data.test,
                indices=np.arange(10),
                captions=np.zeros(10, int),
                rows=rows,
                **{**SIZES, "batch_size": 4},
            )
        )

    whole = take(None)
    assert len(whole) == 3 and sum(b["valid"].sum() for b in whole) == 10
    for part, batch in zip(take([3, 1]), whole, strict=True):
        _assert_equal(part, {key: value[[3, 1]] for key, value in batch.items()})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rows": [6]}, "0 to 5"),
        ({"rows": []}, "rows"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_arguments_are_named(data, keys, message):
    with pytest.raises(ValueError, match=message):
        _take(data.train, 1, **keys)
