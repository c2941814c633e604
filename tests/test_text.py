"""The tokeniser, the vocabulary and remarks on captions that people type."""

import json
import random
import sys
import time
import unicodedata

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


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        # What the rule gave before there was another one, letter by letter.
        ("V\u00f6gel Stra\u00dfe", ["vgel", "strae"]),
        ("vo\u0308gel", ["vo", "gel"]),
        ("\u0130ki ku\u015f", ["i", "ki", "ku"]),
        ("\u212a3 \u2460 \u00bd", ["k3"]),
        ("a_b don't", ["a_b", "don", "t"]),
        ("\u4e00\u53ea2", ["2"]),
        ("re\u00add win\u200dgs", ["re", "d", "win", "gs"]),
        ("a\ufffdb \ud83d c", ["a", "b", "c"]),
        ("a\x00b\x1cc", ["a", "b", "c"]),
    ],
)
def test_the_ascii_rule_is_what_it_was(caption, words):
    assert text.tokenize(caption) == text.tokenize(caption, "ascii") == words


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("V\u00f6gel vo\u0308gel", "v\u00f6gel v\u00f6gel"),
        ("Stra\u00dfe STRASSE", "strasse strasse"),
        ("L'oiseau \u0153uf \ufb01n", "l oiseau \u0153uf fin"),
        ("\u0130ki iki", "iki iki"),
        ("M\u1ed9t \u0111\u1ecf", "m\u1ed9t \u0111\u1ecf"),
        ("\uff22\uff29\uff32\uff24 \u2460", "bird 1"),
        (
            "\u041a\u0440\u0430\u0441\u043d\u0430\u044f",
            "\u043a\u0440\u0430\u0441\u043d\u0430\u044f",
        ),
        # Arabic: a vowel sign stays, a joiner and a mark of direction go.
        (
            "\u0637\u064e\u0627 \u0645\u06cc\u200c\u062e\u200f",
            "\u0637\u064e\u0627 \u0645\u06cc\u062e",
        ),
        ("\ube68\uac04 \uc0c8\uac00", "\ube68\uac04 \uc0c8\uac00"),  # Hangul
        # A letter a word: Han beside Latin, kana of half width, Thai with its marks.
        ("\u7ea2bird\u9e1f2020", "\u7ea2 bird \u9e1f 2020"),
        ("\uff8b\uff9e\u30fc\u308b", "\u30d3 \u30fc \u308b"),
        (
            "\u0e2a\u0e35\u0e41\u0e14\u0e07\u0e51\u0e52",
            "\u0e2a\u0e35 \u0e41 \u0e14 \u0e07 \u0e51\u0e52",
        ),
        (
            "\u0932\u093e\u0932 \u092a\u0915\u094d\u0937\u0940",
            "\u0932\u093e\u0932 \u092a\u0915\u094d\u0937\u0940",
        ),
        ("win\u200dgs re\u00add a\u200bb e\u034f\u0301", "wings red a b \u00e9"),
        ("\U0001f426 \u2764\ufe0f 1\ufe0f\u20e3 \u0301x", "1 x"),
        ("a\ufffd\ufffdb\ufffdc\ud83dd", "a b c d"),
        ("\u3164\u115f \u2800", ""),  # letters that nobody sees
    ],
)
def test_the_unicode_rule_reads_every_language(caption, words):
    assert text.tokenize(caption, "unicode") == words.split()


def test_both_rules_read_ascii_the_same():
    random.seed(0)
    letters = [*map(chr, range(128))]
    for _ in range(300):
        caption = "".join(random.choices(letters, k=40))
        assert text.tokenize(caption) == text.tokenize(caption, "unicode")
        assert text.damaged(caption) == []


def test_words_are_read_again_as_they_are():
    """The networks get captions that were joined of words, and read them again."""
    random.seed(0)
    letters = [chr(random.randrange(sys.maxunicode + 1)) for _ in range(3000)]
    letters += [*map(chr, range(0x80, 0x1000))]
    letters += [*"\u0130i\u0307\u0301\u034f\u200d\u1100\u1161\u3164\u0345\u03b1"] * 30
    for _ in range(1500):
        words = text.tokenize("".join(random.choices(letters, k=20)), "unicode")
        assert text.tokenize(" ".join(words), "unicode") == words
        assert " ".join(words).split() == words
        assert all(unicodedata.is_normalized("NFKC", word) for word in words)


def test_endless_captions_are_refused_and_not_read():
    marks = "a" + "\u0301\u0323" * 5_000_000  # whose order takes hours to find
    begin = time.perf_counter()
    with pytest.raises(ValueError, match="has 10000001 characters: at most 10000"):
        text.tokenize(marks, "unicode")
    with pytest.raises(ValueError, match="^caption 1 has 10000001 characters"):
        text.read([marks], VOCAB, num_words=9)
    assert time.perf_counter() - begin < 1
    assert len(text.tokenize(marks[:10_000], "unicode")) == 1


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


def test_the_rule_is_part_of_a_vocabulary():
    ascii_, other = (
        text.Vocabulary.from_captions(["V\u00f6gel"], rule) for rule in text.RULES
    )
    assert (ascii_.words[1], other.words[1]) == ("vgel", "v\u00f6gel")
    assert other.encode("VO\u0308GEL") == [1] and other.tokenize("\u7ea2\u9e1f") == [
        *"\u7ea2\u9e1f"
    ]
    assert text.Vocabulary.from_json(other.to_json()) == other
    assert text.Vocabulary(other.words) != other  # the same words, read otherwise
    assert text.Vocabulary.from_json({"words": ["<end>"]}).rule == "ascii"
    with pytest.raises(ValueError, match="rule = 'latin': allowed are ascii, unicode"):
        text.Vocabulary(["<end>"], "latin")
    with pytest.raises(ValueError, match="rule = 'latin'"):
        text.tokenize("a", "latin")


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
        "2 of the 2 words that say what to draw are unknown: the image has little to do"
        " with the caption",
    ]


def test_a_caption_of_other_things_says_so_and_one_strange_word_does_not():
    assert any("little to do" in line for line in _remarks("a horse of the red sea")[1])
    _, remarks = _remarks("a zebra bird a small red beak")
    assert remarks == ["unknown word 'zebra' is left out"]


def test_cut_words_are_quoted():
    read, remarks = _remarks("a small red bird beak", num_words=3)
    assert read.cut == ["bird", "beak"]
    assert remarks == ["a caption has at most 3 words: 'bird beak' is cut off"]


def test_padding_cannot_be_typed():
    # Its letters are a word like any other.
    assert _remarks("a <end>")[0].unknown == ["end"]


def test_what_ascii_cuts_out_of_a_prompt_is_said():
    read, remarks = _remarks("a r\u00e9d bird \u9e1f")
    assert read.words == ["a", "bird"] and read.unknown == ["rd"]
    assert remarks[0] == (
        "letters outside ASCII are cut out of 'r\u00e9d', '\u9e1f': the model reads"
        " ASCII letters (data.words = 'ascii')"
    )


def test_prompts_are_read_by_the_rule_of_the_vocabulary():
    vocab = text.Vocabulary(["<end>", "r\u00e9d", "\u9e1f"], "unicode")
    (read,) = text.read(["RE\u0301D\u9e1f!"], vocab, num_words=9)
    assert read.words == ["r\u00e9d", "\u9e1f"] and text.remarks(read, vocab) == []


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        (
            "\u7ea2\u8272\u7684\u9e1f",
            r"caption 1, '....', is in Han: the model reads ASCII",
        ),
        ("\U0001f426", "caption 1 is empty: '.' has no word"),
        ("a bird\udcff", r"caption 1 holds half a character, '\\udcff'"),
        ("birb rad", "lacks 'birb', 'rad'; near are bird, red"),
        ("\u202e" * 100, r"caption 1 is empty: '(\\u202e){60}'\.\.\. has no word"),
    ],
)
def test_prompts_that_cannot_be_read_are_refused_in_a_sentence(caption, said):
    with pytest.raises(ValueError, match=said) as error:
        text.read([caption], VOCAB, num_words=9)
    assert str(error.value).isprintable()


def test_many_unknown_words_are_a_few_lines():
    _, remarks = _remarks(" ".join(["bird", *(f"x{i}" for i in range(40)), "y" * 99]))
    assert len(remarks) == 12 and remarks[-2] == "31 more unknown words are left out"
    assert max(map(len, _remarks("bird " + "y" * 9000)[1])) < 120
