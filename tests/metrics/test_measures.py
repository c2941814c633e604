"""Every measure reads the right one of what an evaluation observed."""

import json

import numpy as np
import pytest
from support import evaluations

from mirrorgan_jax.metrics import (
    attributes,
    fid,
    inception_score,
    kid,
    mirror,
    r_precision,
    r_precision_classes,
)
from mirrorgan_jax.metrics.result import Source

GENERATED, REAL = Source("generated"), Source("real")


def moments(features):
    found = fid.Moments(features.shape[1])
    found.update(features)
    return found


def value(found, source=GENERATED):
    return found.rows[source].values[found.columns[0]]


def shifted(seen):
    """What was observed, with other features of generated images."""
    generated = seen.quality["generated"]
    moved = {**generated, "features": generated["features"] + 3}
    return evaluations.observed(quality={**seen.quality, "generated": moved})


def test_fid_compares_generated_images_with_real_ones():
    seen = evaluations.observed(repeats=2)
    sides = {k: v["features"] for k, v in seen.quality.items()}
    expected = fid.frechet_distance(*(moments(x) for x in sides.values()))
    found = fid.measure(seen)
    assert expected > 0.01 and value(found) == expected
    assert (found.protocol["generated"], found.protocol["real"]) == (80, 40)
    # It is of the generated images: others are farther away.
    assert value(fid.measure(shifted(seen))) > value(found) + 30


def test_reference_of_fid_is_of_the_real_images(tmp_path):
    seen = evaluations.observed()
    path = tmp_path / "a.npz"
    given = evaluations.observed(settings={**seen.settings, "reference": str(path)})
    found = fid.measure(given)
    with np.load(path) as stored:
        np.testing.assert_array_equal(
            stored["mean"], moments(seen.quality["real"]["features"]).mean
        )
        protocol = json.loads(str(stored["protocol"]))
    # Files that earlier versions wrote say the same.
    assert protocol == {
        "data": "toybirds", "split": "test", "images": 40,
        "crops": "centre, 32 pixels", "network": "toy", "weights": "0123456789abcdef",
        "resize": "none",
    }  # fmt: skip
    assert value(fid.measure(given)) == pytest.approx(value(found), rel=1e-9)
    # The file is what generated images are compared with from now on.
    fid.save_reference(path, moments(seen.quality["real"]["features"] + 3), protocol)
    assert value(fid.measure(given)) > value(found) + 30


def test_kid_compares_generated_images_with_real_ones():
    seen = evaluations.observed()
    found = kid.measure(seen)
    expected = kid.kid(
        *(seen.quality[side]["features"] for side in ("real", "generated")),
        subsets=3, subset_size=20,
    )  # fmt: skip
    assert value(found) == 1000 * expected["mean"]
    assert found.rows[GENERATED].deviation == 1000 * expected["deviation"]
    assert value(kid.measure(shifted(seen))) > value(found) + 1000


def test_inception_score_is_of_both_sides():
    seen = evaluations.observed(repeats=2)
    found = inception_score.measure(seen)
    for source in (GENERATED, REAL):
        expected = inception_score.inception_score(
            seen.quality[source.images]["log_probs"], splits=2, seed=0
        )
        assert value(found, source) == expected["mean"]
        assert found.rows[source].deviation == expected["deviation"]
    assert found.protocol["weights"] == "0123456789ab"


def test_background_is_no_class_of_the_score():
    seen = evaluations.observed(network=evaluations.network(background=True))
    heads = seen.quality["generated"]["log_probs"]
    kept = tuple(inception_score.drop_background(head) for head in heads)
    expected = inception_score.inception_score(kept, splits=2, seed=0)["mean"]
    assert value(inception_score.measure(seen)) == expected


@pytest.mark.parametrize("metric", [inception_score, fid, kid])
def test_absent_network_is_refused_with_its_reason(metric):
    seen = evaluations.observed(network="eval.inception is empty", quality=None)
    with pytest.raises(ValueError, match="eval.inception is empty"):
        metric.measure(seen)


def test_r_precision_is_of_codes_and_pools():
    seen = evaluations.observed(repeats=2)
    found = r_precision.measure(seen)
    codes = {
        GENERATED: seen.codes["generated"],
        REAL: seen.codes["real"],
        Source("generated from other captions"): np.roll(
            seen.codes["generated"], -1, 0
        ),
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
            "standard error": 100 * expected["standard_error"],
        }  # fmt: skip
        assert row.deviation == 100 * expected["fold_deviation"]
    few = r_precision.measure(evaluations.observed(images=8))
    assert few.rows[GENERATED].deviation is None


def test_classes_have_pools_of_their_own():
    seen = evaluations.observed()
    other = evaluations.observed(pools=seen.pools[:, :2])
    assert r_precision_classes.measure(other).rows == r_precision.measure(seen).rows
    assert r_precision_classes.measure(seen).protocol["pool"] == 5
    with pytest.raises(ValueError, match="of one class"):
        r_precision_classes.measure(evaluations.observed(class_pools=None))


def test_attributes_are_read_by_name():
    asked = {name: np.full(40, number) for number, name in enumerate(("a", "b", "c"))}

    def certain(names):
        return {name: np.tile(np.eye(4)[asked[name][0]], (40, 1)) for name in names}

    right, wrong = certain("cab"), certain("cab")
    wrong["b"], wrong["c"] = wrong["c"], wrong["b"]
    seen = evaluations.observed(
        attributes={"generated": right, "real": wrong}, asked=asked
    )
    found = attributes.measure(seen)
    assert found.columns == ("a", "b", "c")
    assert found.rows[GENERATED].values == {"a": 100, "b": 100, "c": 100}
    assert found.rows[REAL].values == {"a": 100, "b": 0, "c": 0}
    assert found.rows[Source("chance")].values == {"a": 25, "b": 25, "c": 25}


def test_mirror_reads_redescriptions_of_every_captioner():
    seen = evaluations.observed(repeats=2)
    vocab = seen.vocab
    said = vocab.encode("a blue bird with blue wings")
    other = {
        side: {**values, "ids": np.array([[*said, 0, 0]] * len(values["ids"]))}
        for side, values in seen.redescriptions["STREAM"].items()
    }
    for values in other.values():
        # At every place the captioner expects "blue".
        values["log_probs"] = np.tile(
            np.log(np.where(np.arange(len(vocab)) == vocab.id("blue"), 0.9, 0.01)),
            (len(values["ids"]), 8, 1),
        )
    both = {"STREAM": seen.redescriptions["STREAM"], "other": other}
    found = mirror.measure(evaluations.observed(repeats=2, redescriptions=both))
    assert list(found.rows) == [
        ("generated", "STREAM"), ("real", "STREAM"), ("generated", "other"),
        ("real", "other"), ("generated from other captions", "STREAM"),
    ]  # fmt: skip
    values = found.rows[Source("generated", "STREAM")].values
    assert (values["survived"], values["agreement"]) == (100, 100)
    assert values["words"] == 100
    for side in ("generated", "real"):
        values = found.rows[Source(side, "other")].values
        assert (values["survived"], values["contradicted"]) == (50, 50)
        assert values["words"] == 50
    assert "words" not in found.rows[list(found.rows)[-1]].values
    assert "STREAM 1.00 on matched and 1.50" in found.protocol["cross entropies"]


@pytest.mark.parametrize(
    ("metric", "changes"),
    [
        (attributes, {"attributes": None, "asked": {}}),
        (mirror, {"truth": None}),
        (mirror, {"redescriptions": {}}),
    ],
)
def test_data_without_truth_have_nothing_to_measure(metric, changes):
    assert metric.measure(evaluations.observed(**changes)) is None
