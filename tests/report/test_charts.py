"""Line charts: scales, gaps, escaping."""

import math
import re
from xml.etree import ElementTree

import pytest

from mirrorgan_jax.report import charts

_SVG = "{http://www.w3.org/2000/svg}"


def _parsed(series, title="losses"):
    return ElementTree.fromstring(charts.line_chart(series, title=title))


def _lines(svg):
    """Points of every line in pixels."""
    return [
        [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
        for line in svg.iter(f"{_SVG}polyline")
    ]


def _texts(svg):
    return [text.text for text in svg.iter(f"{_SVG}text")]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0.31, 0.52, [0.35, 0.4, 0.45, 0.5]),
        (-3, 7, [-2, 0, 2, 4, 6]),
    ],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert charts.linear_ticks(low, high) == pytest.approx(expected, abs=1e-9)


def test_log_ticks_are_powers_of_ten_and_few():
    assert charts.log_ticks(0.05, 2000) == pytest.approx([0.1, 1, 10, 100, 1000])
    assert len(charts.log_ticks(1e-30, 1e30)) <= 9


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0"), (1500, "1.5k"), (-2e6, "-2M"), (0.05, "0.05")]
)
def test_short_labels(value, expected):
    assert charts.short(value) == expected


def test_larger_values_stand_higher_and_later_steps_further_right():
    ((first, second, third),) = _lines(_parsed({"a": [(0, 1), (10, 3), (30, 2)]}))
    assert first[0] < second[0] < third[0]
    assert first[1] > third[1] > second[1]  # y grows downwards
    # Twice as far in steps is twice as far in pixels; they are written to 0.1.
    assert third[0] - second[0] == pytest.approx(2 * (second[0] - first[0]), abs=0.3)


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_what_was_not_measured_is_a_gap(missing):
    points = [(1, 1.0), (2, 2.0), (3, missing), (4, 1.0), (5, 2.0)]
    assert [len(line) for line in _lines(_parsed({"a": points}))] == [2, 2]
    assert charts.line_chart({"a": [(1, missing)]}, title="") == ""


def test_values_over_decades_are_on_a_log_scale():
    wide = {"a": [(1, 0.01), (2, 1.0), (3, 100.0)]}
    svg = _parsed(wide)
    assert "log scale" in _texts(svg) and "0.01" in _texts(svg)
    ((a, b, c),) = _lines(svg)
    # Equal ratios are equal distances; pixels are written to 0.1.
    assert a[1] - b[1] == pytest.approx(b[1] - c[1], abs=0.3)
    for other in ({"a": [(1, 1.0), (2, 50.0)]}, {"a": [(1, 0.0), (2, 1e6)]}):
        assert "log scale" not in _texts(_parsed(other))


@pytest.mark.parametrize("value", [0.0, 5.0, -2.0, 1e-30, 1e30])
def test_one_value_alone_is_drawn_in_the_middle(value):
    (dot,) = _parsed({"a": [(7, value)]}).iter(f"{_SVG}circle")
    assert "seen" in dot.get("class")
    assert 60 < float(dot.get("cy")) < 140


def test_hover_tells_the_value_and_the_step():
    svg = _parsed({"G/loss": [(1000, 1.23456), (2000, 2.0)]})
    titles = [title.text for title in svg.iter(f"{_SVG}title")]
    assert titles == ["G/loss: 1.235 at 1,000", "G/loss: 2 at 2,000"]


def test_long_series_become_means_of_neighbours():
    points = [(step, step % 2) for step in range(10 * charts.MAX_POINTS)]
    thin = charts.thinned(points)
    assert len(thin) == charts.MAX_POINTS
    assert {y for _, y in thin} == {0.5}
    assert thin[-1][0] == points[-1][0]
    gaps = [(step, None if step < 800 else 1.0) for step in range(1600)]
    assert [y for _, y in charts.thinned(gaps)] == [None] * 80 + [1.0] * 80


def test_names_are_escaped():
    text = charts.line_chart({"<script>&": [(1, 1.0)]}, title='"><b>')
    assert "<script" not in text and "<b>" not in text
    assert "<script>&" in _texts(ElementTree.fromstring(text))


def test_too_many_series_are_refused():
    with pytest.raises(ValueError, match="9 series: allowed are up to 8"):
        charts.line_chart({str(i): [(1, 1.0)] for i in range(9)}, title="")


def test_training_is_grouped_by_network():
    rows = [
        {"stage": "stem", "step": 1, "STEM/grad_norm": 1.0, "STEM/loss": 2.0},
        {"stage": "gan", "step": 1, "G/kl": 1.0, "G/loss": 2.0, "D16/loss": 1.0},
        {"stage": "gan", "step": 2, "D32/loss": 1.0, "eval/top1": 0.5, "new/x": 1.0},
        {"stage": "gan", "step": 3, "G/nothing": None, "void/x": None},
    ]
    groups = dict(charts.training_charts(rows))
    titles = [[title for title, _ in drawn] for drawn in groups.values()]
    assert titles == [
        ["stem: STEM", "stem: STEM, gradient norms"],
        ["gan: G"],
        ["gan: D16", "gan: D32"],
        ["gan: eval"],
        ["gan: new"],
    ]
    ((_, svg),) = groups["G: terms of the generator's loss"]
    assert re.findall(">(G/[a-z]+)</text>", svg) == ["G/loss", "G/kl"]


def test_many_series_of_one_network_are_cut_into_several_charts():
    row = {f"G/{i}": 1.0 for i in range(charts.MAX_SERIES + 1)}
    ((_, drawn),) = charts.training_charts([{"stage": "gan", "step": 1, **row}])
    assert len(drawn) == 2
