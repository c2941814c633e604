"""Several feature networks in one evaluation, each by its name; scales of features."""

import numpy as np
import pytest
from support import evaluations

from mirrorgan_jax.metrics import fid, inception_score, kid, looks
from mirrorgan_jax.metrics.result import Refused, Result, Source


def networks(*names):
    return [evaluations.network(name=name) for name in names]


@pytest.mark.parametrize(
    ("metric", "first"),
    [
        (inception_score, "inception_cub"), (fid, "inception_fid"),
        (kid, "inception_fid"),
    ],
)  # fmt: skip
def test_every_network_has_a_result_of_its_own(metric, first):
    seen = evaluations.looks(
        *networks("inception_v3", "inception_fid", "inception_cub")
    )
    found = metric.measure(evaluations.observed(looks=seen))
    # The network that the measure is published with comes first.
    assert list(found)[0] == first and found.keys() == seen.keys()
    for name, one in found.items():
        assert one.title == f"{metric.TITLE} ({name})"
        assert one.protocol["network"] == name
        alone = metric.measure(evaluations.observed(looks={name: seen[name]}))
        assert alone == {name: one}
    values = {one.rows[Source("generated")].values[one.columns[0]]
              for one in found.values()}  # fmt: skip
    assert len(values) == 3


@pytest.mark.parametrize("metric", [inception_score, fid, kid])
def test_network_that_cannot_be_had_leaves_the_others(metric):
    seen = evaluations.looks(*networks("inception_v3"))
    both = {"inception_fid": "eval.inception_fid: a.safetensors does not exist", **seen}
    found = metric.measure(evaluations.observed(looks=both))
    assert found["inception_fid"] == Refused(
        f"{metric.TITLE} (inception_fid)", both["inception_fid"]
    )
    assert isinstance(found["inception_v3"], Result)
    with pytest.raises(ValueError, match="give the .*eval.inception_fid .*2015"):
        metric.measure(evaluations.observed(looks={}))


def test_reference_file_is_that_of_the_first_network(tmp_path):
    path = tmp_path / "a.npz"
    seen = evaluations.looks(*networks("inception_v3", "inception_fid"))
    settings = {**evaluations.observed().settings, "reference": str(path)}
    given = evaluations.observed(looks=seen, settings=settings)
    first, again = fid.measure(given), fid.measure(given)
    with np.load(path) as stored:
        assert '"network": "inception_fid"' in str(stored["protocol"])
    for name, one in again.items():
        value = first[name].rows[Source("generated")].values["value"]
        assert one.rows[Source("generated")].values["value"] == pytest.approx(value)
    alone = evaluations.observed(looks=evaluations.looks(*networks("inception_v3")))
    other = fid.measure(evaluations.observed(looks=alone.looks, settings=settings))
    assert "network = 'inception_fid' instead of" in other["inception_v3"].reason


def scaled(look, factor):
    """The look of a network whose every feature is larger."""
    seen = {
        side: {**values, "features": values["features"] * factor + 7}
        for side, values in look.seen.items()
    }
    return looks.Look(look.network, seen, look.crop)


@pytest.mark.parametrize("metric", [fid, kid])
@pytest.mark.parametrize("standardised", [False, True])
def test_scale_of_features_counts_only_for_published_networks(metric, standardised):
    network = evaluations.network(standardised=standardised)
    (look,) = evaluations.looks(network).values()
    values = []
    for one in (look, scaled(look, np.array([1, 5, 0.5, 10.0]))):
        found = metric.measure(evaluations.observed(looks={network.name: one}))["toy"]
        values.append(found.rows[Source("generated")].values[found.columns[0]])
        assert ("scale of features" in found.protocol) == standardised
    if standardised:
        assert values[1] == pytest.approx(values[0], rel=1e-9)
    else:
        assert values[1] > 10 * values[0]


def test_standardised_by_the_real_images_without_silent_features():
    network = evaluations.network(standardised=True)
    (look,) = evaluations.looks(network).values()
    for values in look.seen.values():
        values["features"][:, 1] = 0
    look.seen["real"]["features"][0, 2] *= 1e-9
    look.seen["real"]["features"][:, 2] *= 1e-2
    real, generated = look.features("real"), look.features("generated")
    assert real.shape == (40, 2)
    np.testing.assert_allclose(real.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(real.std(0), 1, rtol=1e-12)
    raw = {side: values["features"][:, [0, 3]] for side, values in look.seen.items()}
    expected = (raw["generated"] - raw["real"].mean(0)) / raw["real"].std(0)
    np.testing.assert_allclose(generated, expected, rtol=1e-12)
    # Fewer features: FID says how many it compares.
    found = fid.measure(evaluations.observed(looks={"toy": look}))["toy"]
    assert found.protocol["features"] == 2
