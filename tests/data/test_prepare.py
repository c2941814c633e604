"""Preparation: once, or nothing, under the name that it has always had."""

import dataclasses
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image
from support import data_settings

from mirrorgan_jax import data
from mirrorgan_jax.data import datasets, pipeline, prepare, toybirds
from mirrorgan_jax.data.sources import cub, records
from mirrorgan_jax.data.toybirds import birds

SMALL = {
    "image_size": 32,
    "train_images_per_species": 1,
    "test_images_per_species": 1,
}
# Squares of one colour; the object fills their middle.
_SQUARES = """
import io
from PIL import Image
from mirrorgan_jax.data.sources import records

NEEDS = "a number of squares"
CROP_TO_BOX = True
TRUTH = None


def _square(number):
    image, out = Image.new("RGB", (40, 40), (20 * number, 0, 0)), io.BytesIO()
    image.paste((20 * number, 200, 0), (10, 10, 30, 30))
    image.save(out, "PNG")
    return out.getvalue()


def read(settings, seed):
    return records.Found([
        records.Record(
            split="test" if number == 9 else "train",
            name=f"{number}.png",
            captions=[f"square number {number}"],
            class_id=number,
            class_name="",
            read=lambda number=number: _square(number),
            where=f"square {number}",
            box=(14, 14, 12, 12),
        )
        for number in range(int(settings.source))
    ], notes=["ten squares, drawn"])


def fingerprint(settings, seed):
    return f"{settings.source}_squares"
"""


def _picture(color):
    out = io.BytesIO()
    Image.new("RGB", (40, 40), color).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def squares(tmp_path, monkeypatch):
    """A new data set: one file and one line."""
    (tmp_path / "squares.py").write_text(_SQUARES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(data.SOURCES, "squares", "squares")
    yield data_settings.settings(tmp_path / "data", "squares", "10")
    sys.modules.pop("squares", None)


def test_new_source_is_one_file_and_one_line(squares, tmp_path):
    data.check(squares)
    dataset = datasets.load(squares, seed=0)
    assert (tmp_path / "data/squares/10_squares/1.0.0/squares-train.array_record"
            "-00000-of-00001").exists()  # fmt: skip
    assert (dataset.name, len(dataset.train), len(dataset.test)) == ("squares", 9, 1)
    assert dataset.vocab.words[:3] == ("<end>", "square", "number")
    assert dataset.truth is None and dataset.test.attributes is None
    (batch,) = pipeline.eval_batches(
        dataset.test,
        indices=[0],
        captions=[0],
        batch_size=1,
        image_size=16,
        num_words=4,
    )
    # The box crops away what is not the object.
    assert np.all(batch["image"] == [180, 200, 0])
    squares.source = ""
    with pytest.raises(ValueError, match="source is empty: give a number of squares"):
        data.check(squares)
    again = datasets.load(squares, seed=0)  # the one that is prepared
    assert again.train.texts == dataset.train.texts


def test_pictures_stand_beside_their_own_captions(squares):
    train = datasets.load(squares, seed=0).train  # more than threads read at once
    (batch,) = pipeline.eval_batches(
        train,
        indices=range(9),
        captions=[0] * 9,
        batch_size=9,
        image_size=16,
        num_words=4,
    )
    said = [texts[0] for texts in train.texts]
    assert said == [f"square number {i}" for i in range(9)]
    assert batch["image"][:, 8, 8, 0].tolist() == [20 * i for i in range(9)]


def test_notes_of_a_source_are_said_whenever_its_data_is_opened(squares, capsys):
    prepare.prepare(squares, seed=0)
    assert capsys.readouterr().out == "data squares: ten squares, drawn\n"
    prepare.prepare(squares, seed=0)
    assert capsys.readouterr().out == "data squares: ten squares, drawn\n"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"captions": []}, "no caption"),
        ({"captions": ["a square", "?!"]}, "caption '?!' has no words"),
        ({"split": "valid"}, "unknown split 'valid'; allowed: train, test"),
        ({"attributes": [1]}, "1 attributes, 0 for 0.png"),
        ({"read": lambda: b"text"}, "no picture, but text that begins 'text'"),
    ],
)
def test_what_a_source_overlooks_is_refused_before_anything_is_written(
    squares, tmp_path, monkeypatch, changes, problem
):
    source = data.source("squares")
    found = [*source.read(squares, 0).records]
    found[3] = dataclasses.replace(found[3], **changes)
    monkeypatch.setattr(source, "read", lambda settings, seed: records.Found(found))
    with pytest.raises(ValueError) as error:
        prepare.prepare(squares, seed=0)
    assert error.value.problems == (f"square 3: 3.png: {problem}",)
    assert not list(tmp_path.rglob("*.array_record*"))


def test_names_from_outside_are_printed_with_escapes(squares, monkeypatch):
    source = data.source("squares")
    found = [*source.read(squares, 0).records]
    found[3] = dataclasses.replace(found[3], name="\x1b[2J.png", box=(90, 0, 5, 5))
    monkeypatch.setattr(source, "read", lambda settings, seed: records.Found(found))
    with pytest.raises(ValueError, match=r"\\x1b\[2J.png: bad box") as error:
        prepare.prepare(squares, seed=0)
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"captions": ["square number 8"]}, "train captions"),
        ({"class_id": 99}, "train classes"),
        ({"box": (15, 14, 12, 12)}, "train boxes"),
        ({"read": lambda: _picture((1, 2, 3))}, "train pictures"),
        ({"name": "other.png"}, None),
    ],
)
def test_contents_are_what_is_trained_on(squares, tmp_path, monkeypatch, changes, part):
    source = data.source("squares")
    found = [*source.read(squares, 0).records]
    before = datasets.load(squares, seed=0).contents.split(", ")
    found[3] = dataclasses.replace(found[3], **changes)
    monkeypatch.setattr(source, "read", lambda settings, seed: records.Found(found))
    squares.root = str(tmp_path / "again")
    after = datasets.load(squares, seed=0).contents.split(", ")
    different = [a for a, b in zip(after, before, strict=True) if a != b]
    assert [entry.rpartition(" ")[0] for entry in different] == [part] * bool(part)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "birds",
            "config.data.name = 'birds': allowed are toybirds, cub, coco, folder",
        ),
        ("cub", "config.data.source is empty: give the folder that holds CUB_200_2011"),
        ("folder", "config.data.source is empty: give a folder, zip or tar"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(name, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        data.check(data_settings.settings(name=name))
    assert "\n" not in str(error.value)
    data.check(data_settings.settings(name="toybirds"))


def test_unknown_data_set_is_not_prepared(tmp_path):
    with pytest.raises(ValueError, match="toybirds, cub, coco, folder"):
        prepare.prepare(data_settings.settings(tmp_path, "birds"), seed=0)


def test_fingerprints_are_those_of_data_prepared_before(tmp_path):
    lists = tmp_path / "CUB_200_2011"
    for path, content in {
        lists / "images.txt": b"1 001.Blue/a.jpg\n",
        lists / "images/001.Blue/a.jpg": b"picture",
        tmp_path / "text/001.Blue/a.txt": b"a bird\n",
        tmp_path / "train/filenames.pickle": b"names",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    settings = data_settings.settings(source=tmp_path)
    assert cub.fingerprint(settings, 0) == "d4d3f009a26b"
    # The last part is a hash of drawn pixels, which versions of Pillow may change.
    name = toybirds.fingerprint(data_settings.settings(**SMALL), 3)
    assert re.fullmatch(r"32px_1_1_seed3_[0-9a-f]{8}", name)
    assert name != toybirds.fingerprint(data_settings.settings(**SMALL), 4)


def test_truth_of_toybirds_is_that_of_its_pictures_and_captions(tmp_path):
    dataset = datasets.load(data_settings.settings(tmp_path, **SMALL), seed=3)
    truth, split = dataset.truth, dataset.test
    assert set(truth.parts) < set(truth.values)
    for row, captions in zip(split.attributes[:5], split.texts, strict=False):
        values = {
            name: names[i]
            for (name, names), i in zip(truth.values.items(), row, strict=True)
        }
        for caption in captions:
            for mention in truth.find(caption):
                assert values[mention.attribute] == mention.value
                assert mention.value in truth.synonyms
    images, attributes = truth.draw(2, size=16, seed=0)
    expected = birds.random_birds(2, size=16, seed=0)
    np.testing.assert_array_equal(images, expected[0])
    np.testing.assert_array_equal(attributes, expected[1])


def test_preparation_happens_once(tmp_path, monkeypatch):
    settings = data_settings.settings(tmp_path, **SMALL)
    first = prepare.prepare(settings, seed=3)

    def fail(settings, seed):
        raise AssertionError("prepared again")

    monkeypatch.setattr(toybirds, "read", fail)
    assert prepare.prepare(settings, seed=3) == first


def test_ground_of_transparent_pictures_is_another_prepared_copy(
    squares, tmp_path, monkeypatch
):
    def half():
        out = io.BytesIO()
        Image.new("RGBA", (40, 40), (200, 0, 200, 128)).save(out, "PNG")
        return out.getvalue()

    source = data.source("squares")
    some = source.read(squares, 0).records
    found = records.Found([dataclasses.replace(r, read=half) for r in some])
    monkeypatch.setattr(source, "read", lambda settings, seed: found)
    white = ("white", "", 127)
    for ground, end, green in (white, ("black", "_on_black", 0), white):
        squares.update(ground=ground, source="10")
        assert prepare.prepare(squares, seed=0).parent.name == f"10_squares{end}"
        squares.source = ""  # the one on this ground
        split = datasets.load(squares, seed=0).train
        options = {"indices": [0], "captions": [0], "batch_size": 1}
        (batch,) = pipeline.eval_batches(split, **options, image_size=16, num_words=4)
        assert np.all(batch["image"][..., 1] == green)


def test_error_in_preparation_leaves_nothing(tmp_path, monkeypatch):
    def fail():
        raise RuntimeError("out of paint")

    def read(settings, seed):
        found = [*whole(settings, seed).records]
        found[3] = dataclasses.replace(found[3], read=fail)
        return records.Found(found)

    whole = toybirds.read
    monkeypatch.setattr(toybirds, "read", read)
    with pytest.raises(RuntimeError, match="out of paint"):
        prepare.prepare(data_settings.settings(tmp_path / "data", **SMALL), seed=3)
    assert not (tmp_path / "data").exists()
