"""Tokens, vocabulary and word subsets equal the fixture of the reference."""

import json

import numpy as np
import pytest
from support import parity

from mirrorgan_jax import text


@pytest.fixture(scope="module")
def fixture():
    return json.loads(parity.path("10b_text.json").read_text(encoding="utf-8"))


def test_tokenize_equals_reference_line_by_line(fixture):
    for case in fixture["single_line"]:
        captions = [text.tokenize(c) for c in text.split_captions(case["text"])]
        assert captions == case["captions"], case["text"]


@pytest.mark.parametrize("name", ["file_10_captions", "file_4_captions"])
def test_split_captions_takes_the_references_lines(fixture, name):
    case = fixture[name]
    lines = text.split_captions("\n".join(case["lines"]), case["captions_per_image"])
    assert [text.tokenize(line) for line in lines] == case["captions"]


def test_vocabulary_equals_reference_dictionary(fixture):
    case = fixture["build_dictionary_python3_order"]
    vocab = text.Vocabulary.from_captions(case["train"] + case["test"])
    assert dict(enumerate(vocab.words)) == {
        int(i): word for i, word in case["ixtoword"].items()
    }
    assert len(vocab) == case["n_words"]
    assert [vocab.encode(c) for c in case["train"]] == case["train_ids"]
    assert [vocab.encode(c) for c in case["test"]] == case["test_ids"]


def test_keep_words_equals_reference_subset(fixture):
    longer = 0
    for case in fixture["get_caption_18"]["cases"]:
        ids = case["ids"]
        positions = list(range(len(ids)))
        if len(ids) > 18:
            np.random.RandomState(case["numpy_legacy_seed"]).shuffle(positions)
            positions, longer = positions[:18], longer + 1
        kept = text.keep_words(ids, positions)
        assert len(kept) == case["length"]
        assert text.pad(kept, 18) == case["padded"]
    assert longer > 0


def test_encode_equals_reference_example_captions(fixture):
    case = fixture["gen_example"]
    vocab = text.Vocabulary(list(case["wordtoix"]))
    ids = [vocab.encode(line) for line in case["lines"]]
    rows = [ids[i] for i in case["sorted_indices"]]
    longest = max(case["cap_lens"])
    assert sorted(text.pad(r, longest) for r in rows) == sorted(case["cap_array"])
    assert [len(r) for r in rows] == case["cap_lens"]
