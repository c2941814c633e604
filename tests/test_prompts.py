"""Captions that people type: remarks on what the networks do not see."""

from mirrorgan_jax import prompts, text

VOCAB = text.Vocabulary(["<end>", "a", "small", "red", "bird", "beak", "black"])


def _remarks(caption, num_words=9):
    (read,) = prompts.read([caption], VOCAB, num_words=num_words)
    return read, prompts.remarks(read, VOCAB)


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
