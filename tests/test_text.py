"""The tokeniser and the vocabulary on their own."""

import json

import pytest

from mirrorgan_jax import text


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A Red-winged bird.", ["a", "red", "winged", "bird"]),
        ("wings\ufffd\ufffdwith", ["wings", "with"]),
        ("caf\u00e9 \u00e9", ["caf"]),
        ("?!", []),
    ],
)
def test_tokenize_keeps_lower_case_ascii_words(caption, words):
    assert text.tokenize(caption) == words


def test_encode_drops_unknown_words():
    vocab = text.Vocabulary.from_captions(["a red bird", "a blue bird"])
    assert vocab.words == ("<end>", "a", "red", "bird", "blue")
    assert vocab.encode("A green bird, blue!") == [1, 3, 4]
    assert vocab.encode(["red", "fish"]) == [2]


def test_decode_stops_at_end():
    vocab = text.Vocabulary.from_captions(["a red bird"])
    assert vocab.decode([2, 3, 0, 1]) == "red bird"
    with pytest.raises(ValueError, match="token id 4"):
        vocab.decode([4])


def test_vocabulary_survives_json():
    vocab = text.Vocabulary.from_captions(["a red bird"])
    written = json.dumps(vocab.to_json())
    assert text.Vocabulary.from_json(written) == vocab
    assert text.Vocabulary.from_json(json.loads(written)) == vocab
    with pytest.raises(ValueError, match="words"):
        text.Vocabulary.from_json("{}")


def test_vocabulary_needs_end_first_and_distinct_words():
    with pytest.raises(ValueError, match="word 0"):
        text.Vocabulary(["a"])
    with pytest.raises(ValueError, match="twice"):
        text.Vocabulary(["<end>", "a", "a"])


def test_id_of_unknown_word_is_refused():
    vocab = text.Vocabulary.from_captions(["a"])
    assert vocab.id("a") == 1
    with pytest.raises(ValueError, match="fish"):
        vocab.id("fish")


def test_keep_words_keeps_the_captions_order():
    assert text.keep_words([7, 8, 9, 6], [3, 0, 2]) == [7, 9, 6]


def test_pad_refuses_longer_captions():
    assert text.pad([4, 5], 4) == [4, 5, 0, 0]
    with pytest.raises(ValueError, match="3 words"):
        text.pad([1, 2, 3], 2)
