"""Captions that a rule of words cannot read, or reads in part, or that are the same."""

import json
import os
import random
import re
import sys
import time

import numpy as np
import pytest
from PIL import Image
from support import data_settings, tiny

from mirrorgan_jax import text
from mirrorgan_jax.data import captions, datasets
from mirrorgan_jax.data.sources import records
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.workdir import layout

CHINESE = "\u4e00\u53ea\u7ea2\u8272\u7684\u5c0f\u9e1f"
JAPANESE = "\u8d64\u3044\u9ce5\u304c\u3044\u308b"
KOREAN = "\ube68\uac04 \uc0c8\uac00 \uc788\ub2e4"
ARABIC = "\u0637\u0627\u0626\u0631 \u0623\u062d\u0645\u0631"
RUSSIAN = "\u041a\u0440\u0430\u0441\u043d\u0430\u044f \u043f\u0442\u0438\u0446\u0430"
GERMAN = "Zwei gr\u00fcne V\u00f6gel im K\u00e4fig"
VIETNAMESE = "M\u1ed9t con chim m\u00e0u \u0111\u1ecf tr\u00ean c\u00e0nh c\u00e2y"


def _write(root, rows):
    """An image folder: {"file_name", "captions"} of each of some pictures."""
    root.mkdir()
    lines = []
    for number, own in enumerate(rows):
        name = f"{number}.png"
        Image.fromarray(np.full((16, 16, 3), number * 7, np.uint8)).save(root / name)
        split = "test" if number == len(rows) - 1 else "train"
        row = {"file_name": name, "captions": own, "split": split}
        lines.append(json.dumps(row) + "\n")
    (root / "metadata.jsonl").write_text("".join(lines))
    return root


def _load(root, words):
    settings = data_settings.settings(root.parent / "data", "folder", root, words=words)
    return datasets.load(settings, seed=0)


@pytest.mark.parametrize(
    ("caption", "script"),
    [
        (CHINESE, "Han"),
        (JAPANESE, "Hiragana"),
        (KOREAN, "Hangul"),
        (ARABIC, "Arabic"),
        (RUSSIAN, "Cyrillic"),
        (f"{CHINESE} 2", "Han"),
        (f"iPhone {CHINESE}", "Han"),
        (f"{RUSSIAN} 2020 \u0432 Canon", "Cyrillic"),
        ("\u00e9 \u00e8", "Latin"),
    ],
)
def test_ascii_refuses_other_scripts_and_unicode_reads_them(caption, script):
    said = captions.problem(caption, "ascii")
    assert said == (
        f"caption {caption!r} is in {script}, which data.words = 'ascii' does not read:"
        " set config.data.words=unicode"
    )
    assert captions.problem(caption, "unicode") is None


@pytest.mark.parametrize("rule", text.RULES)
@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("?! \u2026", "has no words"),
        (
            "\U0001f426\u200d\u2b1b \u2764\ufe0f",
            "has no words",
        ),  # a black bird, a heart
        ("\u200b\u200f\u202e", "has no words"),
        ("a red bird \ud83d", "holds half a character, '\\ud83d'"),
        ("a bird " * 1_500_000, "has 10500000 characters: at most 10000 are read"),
    ],
)
def test_what_no_rule_reads_is_refused_at_once(rule, caption, reason):
    begin = time.perf_counter()
    said = captions.problem(caption, rule)
    assert reason in said and len(said) < 200 and said.isprintable()
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize(
    "caption",
    ["A small bird, 3 cm!", GERMAN, f"a bird called {RUSSIAN[:7]}", "\u202ea"],
)
def test_what_ascii_reads_at_least_in_half_is_no_problem(caption):
    assert captions.problem(caption, "ascii") is None


def test_ascii_names_line_and_script_and_prepares_nothing(tmp_path):
    root = _write(tmp_path / "raw", [["a bird"], [RUSSIAN, "a bird"], ["a bird"]])
    with pytest.raises(records.DataError) as error:
        _load(root, "ascii")
    (problem,) = error.value.problems
    assert problem.startswith(f"metadata.jsonl:2: 1.png: caption {RUSSIAN!r} is in Cyr")
    assert not (tmp_path / "data").exists()


def test_half_a_character_is_refused_with_its_line(tmp_path):
    root = _write(tmp_path / "raw", [["a bird"], ["a \ud83d bird"], ["a bird"]])
    with pytest.raises(records.DataError, match=r"jsonl:2: .* half of a surr"):
        _load(root, "unicode")


def test_unicode_words_reach_the_vocabulary_and_back(tmp_path):
    rows = [[GERMAN], [VIETNAMESE], [CHINESE], [RUSSIAN]]
    dataset = _load(_write(tmp_path / "raw", rows), "unicode")
    assert dataset.vocab.rule == "unicode"
    assert {"v\u00f6gel", "\u0111\u1ecf", "\u9e1f"} < set(dataset.vocab.words)
    (ids,) = dataset.test.captions[0]
    assert dataset.vocab.decode(ids) == RUSSIAN.lower()


def test_data_prepared_by_another_rule_has_words_or_is_refused(tmp_path):
    root = _write(tmp_path / "raw", [[GERMAN], [f"2 {CHINESE}"], ["a bird"]])
    _load(root, "unicode")
    # What was once prepared opens: "2" is a word, the warning counts the others.
    assert _load(root, "ascii").vocab.words[-3:] == ("2", "a", "bird")
    other = tmp_path / "other"
    other.mkdir()
    root = _write(other / "raw", [["a bird"], [CHINESE], ["a bird"]])
    _load(root, "unicode")
    with pytest.raises(records.DataError, match=f"1.png: .*{CHINESE}.* is in Han"):
        _load(root, "ascii")


def _remarks(texts, rule="ascii", batch_size=2):
    vocab = text.Vocabulary.from_captions((c for own in texts for c in own), rule)
    ids = [[vocab.encode(c) for c in own] for own in texts]
    return captions.remarks(texts, ids, rule=rule, batch_size=batch_size)


def test_damaged_words_are_counted_with_the_worst_examples():
    plain = [[f"bird number {i}", "a bird"] for i in range(8)]
    texts = [
        *plain,
        [GERMAN],
        ["a caf\u00e9"],
        [VIETNAMESE],
        [VIETNAMESE],
        [RUSSIAN + " 1"],
    ]
    (said,) = _remarks(texts)
    # 3 of 5 German words, 1 of 2, 6 of 8 twice, 2 of 3; the plain ones are 40.
    assert "cuts letters out of 18 of 66 words (27 %), in 5 of 21 captions" in said
    assert "4 lose more than half" in said
    assert said.count("is read as") == 3 and "caf\u00e9" not in said
    first = f"{VIETNAMESE!r} is read as 'mt con chim mu trn cnh cy'"
    assert said.index(first) < said.index(f"{RUSSIAN + ' 1'!r} is read as '1'")
    assert said.endswith("config.data.words=unicode keeps them")
    assert _remarks(texts, "unicode") == _remarks(plain) == []


def test_one_damaged_word_of_many_is_said():
    (said,) = _remarks([[f"bird {i}"] for i in range(499)] + [["V\u00f6gel 1"]])
    assert "1 of 1000 words (0.1 %), in 1 of 500 captions; 0 lose" in said
    assert "'V\u00f6gel 1' is read as 'vgel 1'" in said


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (
            [["A bird!"], ["a bird", "a  bird"]],
            "2 pictures have the same caption: 'A bi",
        ),
        ([[f"bird {i % 3}"] for i in range(9)], "9 pictures have 3 different captions"),
        ([["a bird"], ["a fish"]], None),  # as many as there are pictures
        ([[f"bird {i}"] for i in range(4)] * 2, None),  # as many as a batch has
    ],
)
def test_captions_that_are_the_same_are_said(texts, expected):
    said = _remarks(texts, batch_size=4)
    assert len(said) == bool(expected)
    assert all(expected in line for line in said)


_FUZZ = int(os.environ.get("MIRRORGAN_FUZZ", 300))
_ODD = [*"\ufffd\u200b\u200d\u202e\ud83d\udc26\n\x00\x1b\u0301\u0345\u0130\u3164"]


def _mutated(draw, caption):
    letters = list(caption)
    for _ in range(draw.randrange(8)):
        place = draw.randrange(len(letters) + 1)
        letter = draw.choice([*_ODD, chr(draw.randrange(sys.maxunicode + 1))])
        letters[place : place + draw.randrange(2)] = [letter]
    return "".join(letters) * draw.choice([1] * 50 + [500, 5000])


def test_no_caption_is_a_crash_or_an_ugly_message():
    draw = random.Random(0)
    own = [GERMAN, VIETNAMESE, CHINESE, RUSSIAN, ARABIC, "a small red bird"]
    vocabs = [text.Vocabulary.from_captions(own, rule) for rule in text.RULES]
    for _ in range(_FUZZ):
        caption, begin = _mutated(draw, draw.choice(own)), time.perf_counter()
        said = [captions.problem(caption, rule) or "" for rule in text.RULES]
        said += captions.remarks([[caption]], [[[1]]], rule="ascii", batch_size=2)
        for vocab in vocabs:
            try:
                (read,) = text.read([caption], vocab, num_words=9)
                said += text.remarks(read, vocab)
            except ValueError as error:
                said.append(str(error))
        assert all(line.isprintable() and len(line) < 2500 for line in said)
        assert time.perf_counter() - begin < 5


def test_a_run_goes_on_by_its_rule_alone():
    saved, now = tiny.tiny_config().to_dict(), tiny.tiny_config()
    del saved["data"]["words"]  # by a version that had the one rule
    assert configs.restored(saved).data.words == "ascii"
    layout.check_resumable("stem", saved, ["<end>"], now.to_dict(), ["<end>"])
    now.data.words = "unicode"
    wrong = re.escape("data.words = 'unicode', was 'ascii'")
    with pytest.raises(ValueError, match=wrong):
        layout.check_resumable("stem", saved, ["<end>"], now.to_dict(), ["<end>"])
