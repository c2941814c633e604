"""Results as text and on disk."""

import json
import math

import pytest
from support import evaluations

from mirrorgan_jax.metrics import result
from mirrorgan_jax.metrics.result import Evaluation, Refused, Row, Source


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (58.2134, "58.21"), (0, "0.00"), (-3.456, "-3.46"), (9999.9, "9999.90"),
        (123456, "1.235e+05"), (0.1, "0.10"), (0.0999, "0.10"), (0.08469, "0.085"),
        (-0.000123, "-0.00012"), (1e-9, "1.0e-09"), (None, "–"), (math.nan, "–"),
        (math.inf, "–"),
    ],
)  # fmt: skip
def test_numbers_have_one_form(value, expected):
    assert result.number(value) == expected


def test_sign_is_written_where_it_is_asked_for():
    assert result.number(1.5, sign=True) == "+1.50"
    assert result.number(-0.012, sign=True) == "-0.012"


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ((5.47, 0.08469), "5.47 ± 0.08"), ((0.0123, 0.0004), "0.012 ± 0.000"),
        ((5.47, None), "5.47"), ((5.47, math.nan), "5.47 ± –"), ((None, 1.0), "–"),
    ],
)  # fmt: skip
def test_deviation_has_the_decimals_of_its_number(pair, expected):
    assert result.with_deviation(*pair) == expected


def test_evaluation_survives_the_file(tmp_path):
    saved = evaluations.evaluation()
    saved.metrics["fid"] = Refused("FID", "too few")
    rows = {("generated", "STREAM"): ([1.0], 0.5)}
    refused = {Source("real", "STREAM"): "blind", Source("real"): "few"}
    saved.metrics["a"] = evaluations.result(
        "A", ["b"], rows, spread="10 folds", refused=refused
    )
    path = tmp_path / "evaluation.json"
    path.write_text(result.dumps(saved))
    assert result.read(path) == saved
    assert result.read(tmp_path / "absent.json") is None
    with_grid = Evaluation(3, {}, {}, "a.png")
    path.write_text(result.dumps(with_grid))
    assert result.read(path) == with_grid


def test_numbers_that_are_not_finite_are_null_on_disk(tmp_path):
    rows = {"generated": ({"value": math.nan, "b": math.inf}, math.nan)}
    saved = Evaluation(1, {}, {"a": evaluations.result("A", ["value"], rows)})
    path = tmp_path / "evaluation.json"
    path.write_text(result.dumps(saved))
    (row,) = json.loads(path.read_text())["metrics"]["a"]["rows"]
    assert row == {
        "images": "generated", "judge": "", "values": {"value": None, "b": None},
        "deviation": None,
    }  # fmt: skip
    found = result.read(path).metrics["a"].rows[Source("generated")]
    assert all(math.isnan(x) for x in (*found.values.values(), found.deviation))


def test_earlier_form_is_said_in_a_sentence(tmp_path):
    path = tmp_path / "report" / "evaluation.json"
    path.parent.mkdir()
    # Format 2 counted attributes that nobody had asked for.
    old = {"format": 2, "step": 3, "protocol": {}, "metrics": {}}
    path.write_text(json.dumps(old))
    with pytest.raises(
        result.OutdatedError,
        match=f"earlier version: `mirrorgan evaluate --workdir={tmp_path}` makes it",
    ):
        result.read(path)


@pytest.mark.parametrize(
    "content",
    ["{", "[1]", '{"metrics": null}', '{"format": 3, "metrics": {}, "step": 1}'],
)
def test_what_is_no_evaluation_is_refused(tmp_path, content):
    path = tmp_path / "evaluation.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"evaluation.json.*makes it anew") as error:
        result.read(path)
    assert not isinstance(error.value, result.OutdatedError)


def test_difference_names_what_differs():
    one = {"pool": 99, "seed": 0, "more": 1}
    other = {"pool": 100, "seed": 1}
    assert result.difference(one, other, ignored=("seed",)) == (
        "pool 99 instead of 100, more 1 instead of not said"
    )
    assert result.difference(one, dict(reversed(one.items()))) == ""


def test_refusals_of_one_reason_stand_together():
    reasons = {Source("real", "a"): "x", Source("real"): "y", Source("other", "a"): "x"}
    found = evaluations.result("A", ["b"], {}, refused=reasons)
    assert found.refusals() == [("real, a; other, a", "x"), ("real", "y")]


def test_source_and_protocol_are_readable():
    assert str(Source("real")) == "real"
    assert str(Source("real", "STREAM")) == "real, STREAM"
    assert result.protocol_text({"real": 6, "network": "a, b"}) == (
        "real: 6; network: a, b"
    )
    assert result.cell(Row({"a": 1.0, "b": 2.0}, 0.5), "b", ("a", "b")) == "2.00"
