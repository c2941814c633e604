"""A run as an object: the same noise, the same images, and captions that are wrong."""

import shutil

import jax
import numpy as np
import pytest
from support import random_runs

from mirrorgan_jax import text
from mirrorgan_jax.inference import model as api
from mirrorgan_jax.models import build
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.workdir import layout

WORDS = random_runs.WORDS
RED = "this bird has a red wing"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return api.Model.load(random_runs.write(tmp_path_factory.mktemp("api")))


def test_load_knows_the_run(model):
    assert model.step == 6 and model.has_stream and model.sizes == (16, 32)
    assert model.vocab == text.Vocabulary(WORDS)


def test_images_have_the_sizes_of_the_stages(model):
    made = model.generate([RED, "blue bird"], n=3)
    assert [i.shape for i in made.images] == [(6, 16, 16, 3), (6, 32, 32, 3)]
    assert all(np.abs(i).max() <= 1 and np.isfinite(i).all() for i in made.images)
    assert made.captions == [RED] * 3 + ["blue bird"] * 3
    assert made.words[0] == RED.split() and made.words[5] == ["blue", "bird"]
    assert made.tokens.shape == (6, 10) and made.tokens[5].tolist()[2:] == [0] * 8


def test_maps_sum_to_one_over_the_real_words(model):
    made = model.generate(["blue bird"])
    (words,), (sentence,) = made.word_maps, made.sentence_maps
    assert words.shape == (1, 16, 16, 10) and sentence.shape == (1, 16, 16, 4)
    # Sums of ten float32 terms.
    np.testing.assert_allclose(words.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(sentence.sum(-1), 1, atol=1e-5)
    assert words[..., 2:].max() == 0


def test_seed_decides_the_images(model):
    first, again, other = (
        model.generate([RED], seed=seed, n=2).images[-1] for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    assert np.abs(first[0] - first[1]).max() > 1e-3


def test_an_image_depends_on_its_own_number_and_caption_only(model):
    alone = model.generate([RED]).images[-1][0]
    # More rows than a chunk holds, and other captions before it.
    many = model.generate(["green crown", RED], n=9).images[-1]
    # The same program on other rows of a batch: rounding may differ, nothing else.
    np.testing.assert_allclose(many[9], alone, atol=1e-5)


def test_images_of_a_caption_stand_together(model):
    both = model.generate([RED, "blue bird"], n=3).images[-1]
    for caption, images in ((RED, both[:3]), ("blue bird", both[3:])):
        alone = model.generate([caption], n=3).images[-1]
        np.testing.assert_allclose(images, alone, atol=1e-5)
    assert np.abs(both[:3] - both[3:]).max() > 1e-3


def test_captions_of_one_seed_share_their_noise(model):
    z, eps = model.noise(7, [0, 1])
    drawn = model.generate([RED, "blue bird"], seed=7, n=2)
    given = model.generate(
        [RED, "blue bird"], n=2, z=np.tile(z, (2, 1)), eps=np.tile(eps, (2, 1))
    )
    np.testing.assert_array_equal(drawn.images[-1], given.images[-1])
    np.testing.assert_array_equal(drawn.z[:2], drawn.z[2:])
    np.testing.assert_array_equal(drawn.eps, np.tile(eps, (2, 1)))


def test_truncation_zero_leaves_one_image(model):
    flat = model.generate([RED], n=3, truncation=0.0).images[-1]
    np.testing.assert_allclose(flat, np.broadcast_to(flat[:1], flat.shape), atol=1e-6)
    zeros = {"z": np.zeros((1, 4)), "eps": np.zeros((1, 4))}
    np.testing.assert_allclose(
        model.generate([RED], **zeros).images[-1], flat[:1], atol=1e-6
    )


def test_words_that_are_not_seen_are_reported(model):
    made = model.generate(["this Ostrich has red wing", " ".join(["red"] * 12)])
    assert made.unknown == [["ostrich"], []]
    twice = model.generate(["this Ostrich has red wing"], n=2)
    assert len(twice.words) == 2 and twice.unknown == [["ostrich"]]
    assert made.words[0] == ["this", "has", "red", "wing"]
    assert made.words[1] == ["red"] * 10 and made.cut == [[], ["red"] * 2]
    known = model.generate(["this has red wing"]).images[-1]
    np.testing.assert_allclose(made.images[-1][:1], known, atol=1e-5)


@pytest.mark.parametrize(
    ("captions", "options", "message"),
    [
        ([], {}, "captions = "),
        (RED, {}, "allowed is a list"),
        ([RED, " ,. "], {}, "caption 2 is empty"),
        (["ostrich zebra"], {}, "no known word.*'ostrich', 'zebra'"),
        ([RED], {"n": 0}, "n = 0"),
        ([RED], {"truncation": -0.1}, "truncation = -0.1"),
        ([RED], {"truncation": float("nan")}, "truncation = nan"),
        ([RED], {"seed": -1}, "seed = -1"),
        ([RED], {"z": np.zeros((2, 4))}, r"z has shape \[2, 4\]: allowed is \[1, 4\]"),
    ],
)
def test_wrong_arguments_are_refused(model, captions, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(captions, **options)


def test_redescription_has_as_many_words_as_asked_for(model):
    images = model.generate([RED], n=3).images[-1]
    texts = model.redescribe(images, [1, 4, 10])
    longest = model.redescribe(images, 10)
    for own, whole, count in zip(texts, longest, (1, 4, 10), strict=True):
        assert len(own.split()) <= count and whole.startswith(own)
        assert all(word in model.vocab for word in own.split())
    for wrong in (0, 11, [3, 3]):
        with pytest.raises(ValueError, match="num_words = .*allowed"):
            model.redescribe(images, wrong)


def test_score_is_the_mean_cross_entropy_a_word(model):
    images = model.generate([RED], n=2).images[-1]
    captions = [RED, "blue bird"]
    scores = model.caption_scores(images, captions)
    module = build.captioner(model.config, len(WORDS))
    stream = layout.load_stream(model.config, model.name, meshes.create_mesh())
    for image, caption, score in zip(images, captions, scores, strict=True):
        ids = model.vocab.encode(caption)
        logits = module.apply(stream, image[None], np.array([ids]), train=False)[0]
        log_probs = jax.nn.log_softmax(logits)
        expected = -np.mean(log_probs[np.arange(len(ids)), np.array(ids)])
        np.testing.assert_allclose(score, expected, rtol=1e-4)  # float32 sums
    with pytest.raises(ValueError, match="1 captions for 2 images"):
        model.caption_scores(images, [RED])
    with pytest.raises(ValueError, match="integers: allowed are floats"):
        model.caption_scores(np.zeros((2, 32, 32, 3), np.uint8), captions)


def test_a_run_whose_stream_is_gone_generates_and_says_so(model, tmp_path):
    shutil.copytree(model.name, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "stream")
    bare = api.Model.load(tmp_path / "run")
    assert not bare.has_stream
    for left, right in zip(
        bare.generate([RED]).images, model.generate([RED]).images, strict=True
    ):
        np.testing.assert_array_equal(left, right)
    with pytest.raises(ValueError, match="no finished STREAM"):
        bare.redescribe(np.zeros((1, 32, 32, 3), np.float32), 3)


def test_folders_without_a_run_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        api.Model.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no gan checkpoint"):
        api.Model.load(tmp_path)
