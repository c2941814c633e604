"""What a call gives: pictures, maps of words, redescriptions, three lines of text."""

import numpy as np
import pytest
from support import random_runs

from mirrorgan_jax.inference import model as api
from mirrorgan_jax.inference import pictures
from mirrorgan_jax.parallel import mesh as meshes

CAPTION = "this bird has a red wing"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return api.Model.load(random_runs.write(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def out(model):
    return model([CAPTION, "blue bird"], n=2, seed=4)


def test_pictures_are_the_arrays_of_generate(model, out):
    made = model.generate([CAPTION, "blue bird"], n=2, seed=4)
    assert len(out) == 4 and out.captions == [CAPTION] * 2 + ["blue bird"] * 2
    assert [[p.size for p in stage] for stage in out.stages] == [
        [(16, 16)] * 4,
        [(32, 32)] * 4,
    ]
    for picture, image in zip(out.images, made.images[-1], strict=True):
        np.testing.assert_array_equal(np.asarray(picture), pictures.to_uint8(image))


def test_one_caption_is_a_list_of_one(model):
    one, listed = model(CAPTION), model([CAPTION])
    np.testing.assert_array_equal(one.images[0], listed.images[0])
    with pytest.raises(ValueError, match="n = 0"):
        model(CAPTION, n=0)


def test_attention_is_a_map_a_word(out):
    words = out.attention.words[0]
    assert words == CAPTION.split() and out.attention.words[2] == ["blue", "bird"]
    maps = [out.attention.map(0, word) for word in words]
    assert maps[0].shape == (16, 16)
    np.testing.assert_allclose(np.sum(maps, 0), 1, atol=1e-5)
    red = out.generated.word_maps[-1][0][..., words.index("red")]
    np.testing.assert_array_equal(out.attention.map(0, "red"), red)
    shown = out.attention.picture(0, "red")
    expected = pictures.overlay(out.generated.images[1][0], red)
    np.testing.assert_array_equal(np.asarray(shown), expected)
    sentence = out.generated.sentence_maps[0][0].max(-1)
    np.testing.assert_array_equal(out.attention.map(0), sentence)
    with pytest.raises(ValueError, match="'green' is not in the caption: allowed are"):
        out.attention.map(0, "green")


def test_redescriptions_and_scores_are_those_of_the_model(model, out):
    images = out.generated.images[-1]
    assert out.redescription == model.redescribe(images, [6, 6, 2, 2])
    np.testing.assert_allclose(out.scores, model.caption_scores(images, out.captions))


def test_print_says_what_it_holds_in_three_lines(out):
    lines = str(out).splitlines()
    assert len(lines) == 3
    assert lines[0] == f"4 images of {CAPTION!r} and 1 more, seed 4"
    assert lines[1].startswith("stages of 16, 32 pixels; attention of 1 stages to this")
    assert out.redescription[0][:20] in lines[2]


def test_a_model_without_stream_has_no_redescription(model):
    networks = {k: v for k, v in model.networks.items() if k != "captioner"}
    mesh = meshes.create_mesh()
    bare = api.Model(model.config, model.vocab, networks, "bare", step=6, mesh=mesh)
    out = bare(CAPTION)
    assert out.redescription is None and out.scores is None
    assert "no STREAM redescribes" in str(out)


def test_words_that_are_not_seen_are_remarked(model):
    (remark,) = model("this Ostrich bird has a red wing").remarks
    assert "unknown word 'ostrich' is left out" in remark
    assert model(CAPTION).remarks == []
