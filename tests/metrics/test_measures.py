"""Every measure reads the right one of what an evaluation observed."""

import json

import numpy as np
import pytest
from support import evaluations

from mirrorgan_jax.metrics import (
    attribute_places,
    attribute_words,
    attributes,
    fid,
    inception_score,
    kid,
    looks,
    mirror,
    r_precision,
    r_precision_classes,
)
from mirrorgan_jax.metrics.observed import OTHERS
from mirrorgan_jax.metrics.result import Refused, Source

GENERATED, REAL = Source("generated"), Source("real")


def moments(features):
    found = fid.Moments(features.shape[1])
    found.update(features)
    return found


def value(found, source=GENERATED):
    return found.rows[source].values[found.columns[0]]


def of_toy(metric, seen):
    """What a metric finds through the only network."""
    (found,) = metric.measure(seen).values()
    return found


def shifted(seen):
    """What was observed, with other features of generated images."""
    look = seen.looks["toy"]
    generated = look.seen["generated"]
    moved = {**generated, "features": generated["features"] + 3}
    look = looks.Look(look.network, {**look.seen, "generated": moved}, look.crop)
    return evaluations.observed(looks={"toy": look})


def test_fid_compares_generated_images_with_real_ones():
    seen = evaluations.observed(repeats=2)
    sides = {k: v["features"] for k, v in seen.looks["toy"].seen.items()}
    expected = fid.frechet_distance(*(moments(x) for x in sides.values()))
    found = of_toy(fid, seen)
    assert expected > 0.01 and value(found) == expected
    assert (found.protocol["generated"], found.protocol["real"]) == (80, 40)
    # It is of the generated images: others are farther away.
    assert value(of_toy(fid, shifted(seen))) > value(found) + 30


def test_reference_of_fid_is_of_the_real_images(tmp_path):
    seen = evaluations.observed()
    path = tmp_path / "a.npz"
    given = evaluations.observed(settings={**seen.settings, "reference": str(path)})
    found, real = of_toy(fid, given), seen.looks["toy"].seen["real"]["features"]
    with np.load(path) as stored:
        np.testing.assert_array_equal(stored["mean"], moments(real).mean)
        protocol = json.loads(str(stored["protocol"]))
    # Files that earlier versions wrote say the same.
    assert protocol == {
        "data": "toybirds", "split": "test", "images": 40,
        "crops": "centre, 32 pixels", "network": "toy", "weights": "0123456789abcdef",
        "resize": "none",
    }  # fmt: skip
    assert value(of_toy(fid, given)) == pytest.approx(value(found), rel=1e-9)
    # The file is what generated images are compared with from now on.
    fid.save_reference(path, moments(real + 3), protocol)
    assert value(of_toy(fid, given)) > value(found) + 30


def test_kid_compares_generated_images_with_real_ones():
    seen = evaluations.observed()
    found = of_toy(kid, seen)
    expected = kid.kid(
        *(seen.looks["toy"].seen[side]["features"] for side in ("real", "generated")),
        subsets=3, subset_size=20,
    )  # fmt: skip
    assert value(found) == 1000 * expected["mean"]
    assert found.rows[GENERATED].deviation == 1000 * expected["deviation"]
    assert found.spread == "3 subsets"
    assert value(of_toy(kid, shifted(seen))) > value(found) + 1000


def test_inception_score_is_of_both_sides():
    seen = evaluations.observed(repeats=2)
    found = of_toy(inception_score, seen)
    assert (list(found.rows), found.spread) == ([GENERATED, REAL], "2 splits")
    for source in (GENERATED, REAL):
        expected = inception_score.inception_score(
            seen.looks["toy"].seen[source.images]["log_probs"], splits=2, seed=0
        )
        assert value(found, source) == expected["mean"]
        assert found.rows[source].deviation == expected["deviation"]
    assert found.protocol["weights"] == "0123456789ab"


def test_score_is_refused_row_by_row():
    # 80 generated images are 8 in a split, 20 real ones 2 and fewer than the classes.
    network = evaluations.network()
    seen = evaluations.observed(
        looks=evaluations.looks(network, images=20, repeats=4),
        settings={**evaluations.observed().settings, "splits": 10},
    )
    found = of_toy(inception_score, seen)
    assert list(found.rows) == [GENERATED]
    assert "20 images in 10 splits are 2 each" in found.refused[REAL]
    neither = evaluations.observed(
        looks=evaluations.looks(network, images=20), settings=seen.settings
    )
    refused = of_toy(inception_score, neither)
    assert isinstance(refused, Refused)
    assert refused.reason.count("20 images in 10 splits") == 1


def test_background_is_no_class_of_the_score():
    network = evaluations.network(background=True)
    seen = evaluations.observed(looks=evaluations.looks(network))
    heads = seen.looks["toy"].seen["generated"]["log_probs"]
    kept = tuple(inception_score.drop_background(head) for head in heads)
    expected = inception_score.inception_score(kept, splits=2, seed=0)["mean"]
    assert value(of_toy(inception_score, seen)) == expected


def test_r_precision_is_of_codes_and_pools():
    seen = evaluations.observed(repeats=2)
    found = r_precision.measure(seen)
    codes = {
        GENERATED: seen.codes["generated"],
        REAL: seen.codes["real"],
        Source(OTHERS): np.roll(seen.codes["generated"], -1, 0),
    }
    assert list(found.rows) == list(codes)
    for source, images in codes.items():
        expected = r_precision.r_precision(
            images, seen.sentences, seen.pools[: len(images)]
        )
        row = found.rows[source]
        assert row.values == {
            "top1": 100 * expected["top1"], "top2": 100 * expected["top2"],
            "top3": 100 * expected["top3"],
        }  # fmt: skip
        assert row.deviation == 100 * expected["fold_deviation"]
    # One kind of deviation, which every reader is told.
    assert found.spread == "10 folds"
    few = r_precision.measure(evaluations.observed(images=8))
    assert few.rows[GENERATED].deviation is None and few.spread == ""


def test_classes_have_pools_of_their_own():
    seen = evaluations.observed()
    other = evaluations.observed(pools=seen.pools[:, :2])
    assert r_precision_classes.measure(other).rows == r_precision.measure(seen).rows
    assert r_precision_classes.measure(seen).protocol["pool"] == 5
    with pytest.raises(ValueError, match="of one class"):
        r_precision_classes.measure(evaluations.observed(class_pools=None))


def captioner(seen, said, word):
    """What a captioner makes of all images that always says one thing, and at every
    place expects one word."""
    vocab, count = seen.vocab, len(seen.tokens)
    ids = np.zeros_like(seen.tokens)
    ids[:, : len(said.split())] = vocab.encode(said)
    scores = np.log(np.where(np.arange(len(vocab)) == vocab.id(word), 0.9, 0.01))
    log_probs = np.tile(scores, (count, ids.shape[1], 1))
    return {
        side: {"ids": ids[:n], "log_probs": log_probs[:n]}
        for side, n in (("generated", count), ("real", seen.counts()["real"]),
                        (OTHERS, count))
    }  # fmt: skip


def test_mirror_reads_redescriptions_of_every_captioner():
    seen = evaluations.observed(repeats=2)
    other = captioner(seen, "a blue bird with blue wings", "blue")
    both = {"STREAM": seen.redescriptions["STREAM"], "other": other}
    seen = evaluations.observed(repeats=2, redescriptions=both)
    sources = [
        Source(x, judge) for judge in both for x in ("generated", "real", OTHERS)
    ]
    found, words = mirror.measure(seen), attribute_words.measure(seen)
    assert list(found.rows) == list(words.rows) == sources
    for source in sources:
        right = 100 if source.judge == "STREAM" else 50
        values = found.rows[source].values
        assert (values["survived"], values["contradicted"]) == (right, 100 - right)
        assert (values["unsaid"], values["agreement"]) == (0, right)
        assert words.rows[source].values == {"words": right}
    assert "STREAM 1.00 on matched and 1.50" in found.protocol["cross entropies"]


def test_each_side_of_a_captioner_is_its_own():
    seen = evaluations.observed()
    right, wrong = seen.redescriptions["STREAM"], captioner(seen, "a bird", "wings")
    for side in right:
        mixed = {**right, side: wrong[side]}
        changed = evaluations.observed(
            redescriptions={"STREAM": mixed},
            settings={**seen.settings, "mirror_floor": 0.0},
        )
        for metric in (mirror, attribute_words):
            found = metric.measure(changed)
            values = {source.images: value(found, source) for source in found.rows}
            assert values.pop(side) < 60 and set(values.values()) == {100}


def test_captioner_that_sees_too_little_in_real_images_is_no_judge():
    seen = evaluations.observed()
    # Of the real images it says half, which is what is asked for at least.
    half = captioner(seen, "a blue bird with blue wings", "blue")
    # What it makes of generated ones does not count.
    half = {**half, "generated": seen.redescriptions["STREAM"]["generated"]}
    both = {"blind": half, "STREAM": seen.redescriptions["STREAM"]}
    for metric, does in ((mirror, "says again"), (attribute_words, "chooses")):
        kept = metric.measure(evaluations.observed(redescriptions=both))
        assert len(kept.rows) == 6 and not kept.refused
        settings = {**seen.settings, "mirror_floor": 0.51}
        found = metric.measure(
            evaluations.observed(redescriptions=both, settings=settings)
        )
        assert {source.judge for source in found.rows} == {"STREAM"}
        assert found.refused.keys() == kept.rows.keys() - found.rows.keys()
        assert set(found.refused.values()) == {
            f"blind {does} 50.0 % of what captions of real images say, less than"
            " eval.mirror_floor = 51 %: numbers of generated images would measure the"
            " captioner"
        }
        alone = evaluations.observed(redescriptions={"blind": half}, settings=settings)
        with pytest.raises(ValueError, match=f"blind {does} 50.0 %"):
            metric.measure(alone)


def test_captions_without_attribute_words_are_refused():
    seen = evaluations.observed()
    silent = np.full_like(seen.tokens, seen.vocab.id("wings"))
    with pytest.raises(ValueError, match="no attribute word"):
        attribute_words.measure(evaluations.observed(tokens=silent))


@pytest.mark.parametrize(
    ("metric", "changes"),
    [
        (attributes, {"attributes": None, "drawn": {}}),
        (attribute_places, {"attributes": None, "drawn": {}}),
        (mirror, {"truth": None}),
        (mirror, {"redescriptions": {}}),
        (attribute_words, {"truth": None}),
        (attribute_words, {"redescriptions": {}}),
    ],
)
def test_data_without_truth_have_nothing_to_measure(metric, changes):
    assert metric.measure(evaluations.observed(**changes)) is None
