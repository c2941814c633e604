"""The tokeniser, the vocabulary and remarks on captions that people type."""

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


VOCAB = text.Vocabulary(["<end>", "a", "small", "red", "bird", "beak", "black"])


def _remarks(caption, num_words=9):
    (read,) = text.read([caption], VOCAB, num_words=num_words)
    return read, text.remarks(read, VOCAB)


def test_known_captions_need_no_remark():
    read, remarks = _remarks("A small, RED bird.")
    assert read.words == ["a", "small", "red", "bird"] and remarks == []


def test_unknown_words_are_named_once_with_near_ones():
    read, remarks = _remarks("a birb, zebra birb")
    assert read.unknown == ["birb", "zebra"] and read.words == ["a"]
    assert remarks == [
        "unknown word 'birb' is left out; near it are bird",
        "unknown word 'zebra' is left out",
    ]


def test_cut_words_are_quoted():
    read, remarks = _remarks("a small red bird beak", num_words=3)
    assert read.cut == ["bird", "beak"]
    assert remarks == ["a caption has at most 3 words: 'bird beak' is cut off"]


def test_padding_cannot_be_typed():
    # Its letters are a word like any other.
    assert _remarks("a <end>")[0].unknown == ["end"]
