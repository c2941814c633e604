"""Which training pictures are held out, and the splits that come of it."""

import dataclasses
import shutil

import numpy as np
import pytest
from support import data_settings

from mirrorgan_jax.data import damage, datasets, holdout, pipeline


def rows(classes, prefix="p"):
    """Rows of as many pictures as there are classes, named by their numbers."""
    return [
        {"name": f"{prefix}/{number:03d}.png", "class_id": class_id}
        for number, class_id in enumerate(classes)
    ]


BIRDS = rows(np.repeat(np.arange(20), 5).tolist())
OTHERS = rows([30, 31, 31], "test")


def names(train, test, share):
    return {train[number]["name"] for number in holdout.numbers(train, test, share)}


def test_whole_classes_are_held_out_where_test_classes_are_unseen():
    held = holdout.numbers(BIRDS, OTHERS, 0.2)
    assert held.tolist() == sorted(held) and len(held) == 20
    classes = {BIRDS[number]["class_id"] for number in held}
    assert len(classes) == 4
    assert all(number in held for number in range(100) if number // 5 in classes)
    # No stretch of neighbours: classes are often sorted by what they show.
    assert np.ptp(sorted(classes)) > 3


def test_pictures_are_held_out_where_test_classes_are_known_or_are_pictures():
    seen = names(BIRDS, rows([0, 31], "test"), 0.1)
    own = names(rows(range(100)), rows(range(100, 110), "test"), 0.1)
    assert seen == own and len(own) == 10


def test_neither_order_nor_numbers_of_classes_decide():
    held = names(BIRDS, OTHERS, 0.1)
    order = np.random.default_rng(0).permutation(len(BIRDS))
    assert names([BIRDS[i] for i in order], OTHERS, 0.1) == held
    renamed = [{**row, "class_id": 99 - row["class_id"]} for row in BIRDS]
    assert names(renamed, OTHERS, 0.1) == held
    assert held < names(BIRDS, OTHERS, 0.3)


def test_no_share_holds_nothing_out():
    assert holdout.numbers(BIRDS, OTHERS, 0.0).tolist() == []


@pytest.mark.parametrize("seed", range(5))
def test_classes_that_do_not_fit_are_left(seed):
    # One class of sixty pictures among ten of four: it would be most of the set.
    sizes = [4] * 5 + [60] + [4] * 5
    train = rows(np.repeat(np.arange(11) + seed, sizes).tolist(), f"{seed}")
    held = holdout.numbers(train, OTHERS[1:], 0.1)
    assert len(held) == 8
    assert {train[number]["class_id"] - seed for number in held} <= {*range(11)} - {5}


def test_few_pictures_hold_two_out():
    assert len(holdout.numbers(rows(range(7)), rows([90], "test"), 0.1)) == 2


@pytest.mark.parametrize(
    ("classes", "share", "said"),
    [
        ([0] * 10 + [1] * 10 + [2] * 10, 0.1, "0 of 3 classes fit into that share"),
        ([*range(4)] * 5, 0.3, "1 of 4 classes fit into that share of 20"),
        ([0, 1, 1, 2, 2], 0.8, "2 of 3 classes fit"),
        (range(3), 0.1, "2 of 3 pictures fit into that share of 3"),
        (range(9), 0.9, "8 of 9 pictures fit"),
    ],
)
def test_too_few_classes_are_refused_with_what_would_do(classes, share, said):
    with pytest.raises(ValueError, match=rf"data\.validation = {share}: {said}") as e:
        holdout.numbers(rows(classes), OTHERS, share)
    assert "or 0, and the test pictures choose" in str(e.value)


def load(root, share):
    settings = data_settings.settings(
        root,
        validation=share,
        image_size=16,
        train_images_per_species=1,
        test_images_per_species=1,
    )
    return datasets.load(settings, seed=0)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """(the drawn birds without held-out species, with a tenth of them held out)."""
    root = tmp_path_factory.mktemp("data")
    return load(root, 0.0), load(root, 0.1)


def test_species_are_held_out_of_training(drawn):
    whole, divided = drawn
    assert [(s.name, len(s)) for s in whole.splits] == [("train", 150), ("test", 50)]
    sizes = [(split.name, len(split)) for split in divided.splits]
    assert sizes == [("train", 135), ("validation", 15), ("test", 50)]
    parts = [set(split.class_ids.tolist()) for split in divided.splits]
    assert set.union(*parts) == set(range(1, 201))
    assert sum(map(len, parts)) == 200
    assert sorted(divided.train.names + divided.validation.names) == sorted(
        whole.train.names
    )


def test_held_out_rows_are_those_of_their_pictures(drawn):
    whole, divided = drawn
    for split in (divided.train, divided.validation):
        for index in (0, len(split) // 2, len(split) - 1):
            place = whole.train.names.index(split.names[index])
            assert split.texts[index] == whole.train.texts[place]
            assert split.captions[index] == whole.train.captions[place]
            assert split.class_ids[index] == whole.train.class_ids[place]
            np.testing.assert_array_equal(
                split.attributes[index], whole.train.attributes[place]
            )
            (record,) = split.pictures.examples([index])
            assert record == whole.train.pictures.examples([place])[0]


def test_a_damaged_picture_is_the_one_that_is_held_out(drawn, tmp_path):
    split = drawn[1].validation
    folder = tmp_path / "toybirds" / "copy" / "1.0.0"
    shutil.copytree(split.directory, folder)
    (file,) = folder.glob("*-train.array_record*")
    data, (example,) = bytearray(file.read_bytes()), split.pictures.examples([3])
    picture = example.index(b"PNG") + 200  # compression leaves it as it is
    start = data.index(example[picture : picture + 12])
    data[start] = 255 - data[start]
    file.write_bytes(data)
    copy = dataclasses.replace(split, directory=folder)
    with pytest.raises(damage.Unreadable, match=f"picture {split.names[3]} is damag"):
        copy.pictures.examples(range(len(copy)))
    assert [*copy.pictures.damaged] == [3]
    others = [i for i in range(len(copy)) if i != 3]
    assert copy.pictures.examples(others) == split.pictures.examples(others)


def test_training_never_meets_what_is_held_out(drawn):
    _, divided = drawn
    batches = pipeline.train_batches(
        divided.train, batch_size=135, image_size=16, num_words=8, seed=0, cache_mib=0
    )
    assert not set(next(batches)["class_id"]) & set(divided.validation.class_ids)


def test_words_and_hashes_are_those_of_the_source(drawn):
    whole, divided = drawn
    assert divided.vocab.words == whole.vocab.words
    assert divided.contents.startswith(f"{whole.contents}, validation names ")


def test_what_chooses_is_said(drawn):
    whole, divided = drawn
    assert whole.choosing is whole.test and divided.choosing is divided.validation
    assert whole.choice == "the test images themselves (data.validation = 0)"
    # A picture a species is drawn here.
    assert divided.choice == "15 validation images held out of training"
