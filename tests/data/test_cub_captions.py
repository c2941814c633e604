"""AttnGAN's captions.pickle: its words in its order, and what it is checked against."""

import pickle
import shutil

import pytest
from support import cub_folder, data_settings

from mirrorgan_jax import text
from mirrorgan_jax.data import datasets
from mirrorgan_jax.data.sources import cub, records

WORDS = ("<end>", "1", "2", "3", "a", "bird", "number", "the", "unused")


def _read(source):
    return cub.read(data_settings.settings("", "cub", source), 0)


@pytest.fixture
def source(tmp_path):
    """A folder with captions.pickle beside the text files."""
    root = cub_folder.write(tmp_path / "raw")
    _write(root, cub_folder.attngan_captions(root))
    return root


def _write(root, value, protocol=2):
    (root / "captions.pickle").write_bytes(pickle.dumps(value, protocol))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_words_and_their_order_are_those_of_the_pickle(source, protocol):
    train, test, by_number, by_word = cub_folder.attngan_captions(source)
    written = _read(source)
    shutil.rmtree(source / "text")
    value = [train, test, {n: w.encode() for n, w in by_number.items()}, by_word]
    _write(source, value, protocol)
    found = _read(source)
    for some in (written, found):
        assert not some.problems
        assert some.vocabulary == WORDS
        assert "captions.pickle: its 9 words, in its order, are the vocabulary" in (
            some.notes
        )
    # As written where text files are there, as words where they are not.
    assert written.records[0].captions[:2] == ["a bird, number 1.", "the bird"]
    assert found.records[0].captions[:2] == ["a bird number 1", "the bird"]
    assert [len(r.captions) for r in found.records] == [10, 10, 10]
    assert found.records[2].captions[0] == "a bird number 3"


def test_prepared_data_keep_the_vocabulary_and_the_numbers(source, tmp_path):
    train, test, _, _ = cub_folder.attngan_captions(source)
    settings = data_settings.settings(tmp_path / "data", "cub", source)
    dataset = datasets.load(settings, seed=0)
    settings.source = ""  # what is prepared
    for some in (dataset, datasets.load(settings, seed=0)):
        assert some.vocab == text.Vocabulary(WORDS)
        captions = [list(c) for own in some.train.captions for c in own]
        assert captions == train
        assert [list(c) for own in some.test.captions for c in own] == test


def _changed(**parts):
    def change(value):
        names = ("train", "test", "by_number", "by_word")
        return [parts.get(n, v) for n, v in zip(names, value, strict=True)]

    return change


def _swapped(value):
    train = value[0]
    return [train[10:] + train[:10], *value[1:]]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda v: v[:3], "3 parts, not the four that AttnGAN writes"),
        (lambda v: {"a": v}, "not the four parts that AttnGAN writes"),
        (lambda v: [v[0][:-1], *v[1:]], "19 captions of train for 2 pictures, not 10"),
        (_changed(train=[[99]] * 20), "caption 0 of train is no list of numbers from"),
        (_changed(train=[[0]] * 20), "caption 0 of train is no list of numbers from 1"),
        (_changed(train=[[]] * 20), "caption 0 of train is no list of numbers from 1"),
        (_changed(train=[["a"]] * 20), "caption 0 of train is no list of numbers"),
        (_changed(test={}), "captions of test: {}, not a list"),
        (_changed(by_number=[]), "third and fourth part are no dictionaries"),
        (_changed(by_number={0: "<end>", 2: "a"}), "word 1 is None, not a string"),
        (_changed(by_number={0: "<end>", 1: "A"}), "word 1, 'A', is no word of the"),
        (_changed(by_number={0: "<end>", 1: "a\x1b"}), "word 1, 'a\\x1b', is no word"),
        (_changed(by_number={0: "<pad>", 1: "a"}), "must be '<end>'"),
        (_changed(by_number={0: "<end>", 1: "a", 2: "a"}), "holds a word twice"),
        (_changed(by_word={}), "numbers by word are not those of words by number"),
        (_swapped, "captions of 2 pictures are not those of the text files"),
    ],
)
def test_pickle_that_does_not_fit_is_refused(source, change, problem):
    _write(source, change(cub_folder.attngan_captions(source)))
    problems = _read(source).problems
    assert any(p.startswith("captions.pickle: ") and problem in p for p in problems)
    assert all(p.isprintable() for p in problems)


def test_without_lists_the_order_of_a_pickle_is_not_guessed(source):
    for split in records.SPLITS:
        shutil.rmtree(source / split)
    found = _read(source)  # The text files name their pictures.
    assert not found.problems and found.vocabulary == WORDS
    (source / f"text/{cub_folder.NAMES[0]}.txt").write_text("a green bird\n")
    (problem,) = _read(source).problems
    assert problem == "captions.pickle: lacks 1 words of captions: 'green'"
    shutil.rmtree(source / "text")
    (problem,) = _read(source).problems
    assert problem.startswith("captions.pickle: names no pictures; their order is that")


def test_damaged_pickle_is_said_once(source):
    (source / "captions.pickle").write_bytes(b"cos\nsystem\n(S'id'\ntR.")
    (problem,) = _read(source).problems
    assert problem.startswith("captions.pickle: byte 0: os.system is refused")
