"""Charts: every value at its place, whatever the range."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsynth.report import charts

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
points = st.lists(st.tuples(st.integers(0, 10_000), numbers), min_size=1, max_size=60).map(sorted)


@settings(deadline=None)
@given(points, points)
def test_everything_lies_inside(strong, faint):
    chart = charts.chart("t", "step", [charts.Line("a", strong), charts.Line("b", faint, "faint")])
    for line in chart.lines:
        for pair in line.path[1:].split("L"):
            assert all(0 <= float(value) <= 100 for value in pair.split())
    assert all(0 <= tick.at <= 100 for tick in (*chart.x_ticks, *chart.y_ticks))


@settings(deadline=None)
@given(points)
def test_ticks_stand_where_their_values_do(strong):
    chart = charts.chart("t", "step", [charts.Line("a", strong)])
    (line,) = chart.lines
    known = sorted((float(label), at) for _, at, label in line.dots)
    (low, bottom), (high, top) = known[0], known[-1]
    if high - low < 1e-3 * max(abs(high), abs(low), 1):
        return  # labels have four digits: too few to compare with
    for tick in chart.y_ticks:
        expected = bottom + (float(tick.label) - low) / (high - low) * (top - bottom)
        assert tick.at == pytest.approx(expected, abs=5)


def test_a_value_that_never_changes_stands_in_the_middle():
    chart = charts.chart("t", "step", [charts.Line("a", [(1, 0.25), (2, 0.25), (3, 0.25)])])
    assert [at for _, at, _ in chart.lines[0].dots] == [50, 50, 50]


def test_an_outlier_of_a_faint_line_does_not_flatten_the_others():
    faint = [(step, 1.0 + step % 2) for step in range(100)]
    faint[40] = (40, 1e6)
    strong = [(0, 1.0), (99, 2.0)]
    chart = charts.chart("t", "step", [charts.Line("a", faint, "faint"), charts.Line("b", strong)])
    first, last = (at for _, at, _ in chart.lines[1].dots)
    assert first - last > 50


def test_long_lines_are_thinned_and_keep_their_end():
    line = charts.Line("a", [(step, float(step)) for step in range(5000)], "faint")
    (drawn,) = charts.chart("t", "step", [line]).lines
    assert drawn.path.count("L") <= charts.MOST_POINTS
    assert drawn.path.split("L")[-1].startswith("100 ")


def test_the_end_of_a_strong_line_carries_its_value():
    chart = charts.chart("t", "step", [charts.Line("a", [(0, 0.18123), (160, 0.16261)])])
    assert chart.lines[0].end[2] == "0.1626"


def test_an_axis_starts_at_zero_where_values_come_near_it():
    near, far = (charts.chart("t", "step", [charts.Line("a", [(0, 1.0), (9, low)])]) for low in (0.1, 0.8))
    assert near.from_zero and near.y_ticks[0].label == "0" and near.y_ticks[0].at == 100
    assert not far.from_zero and float(far.y_ticks[0].label) > 0


def test_a_change_of_a_thousandth_does_not_fill_the_chart():
    chart = charts.chart("t", "step", [charts.Line("a", [(0, 0.5), (9, 0.5005)])])
    first, last = (at for _, at, _ in chart.lines[0].dots)
    assert 0 < first - last < 3


def test_an_axis_knows_whether_zero_is_on_it():
    below = charts.chart("t", "step", [charts.Line("a", [(0, -1.0), (9, 1.0)])])
    assert below.from_zero and "0" in {tick.label for tick in below.y_ticks}


def test_labels_of_ends_do_not_lie_on_each_other():
    near = [charts.Line(name, [(0, 1.0), (9, 2.0 + place / 1000)]) for place, name in enumerate("abc")]
    places = sorted(line.end_at for line in charts.chart("t", "step", near).lines)
    assert all(later - earlier > 6.9 for earlier, later in itertools.pairwise(places))
    far = [charts.Line("a", [(0, 1.0), (9, 1.0)]), charts.Line("b", [(0, 2.0), (9, 2.0)], "second")]
    assert all(line.end_at == line.end[1] for line in charts.chart("t", "step", far).lines)


def test_values_have_their_unit():
    chart = charts.chart("t", "step", [charts.Line("a", [(0, 10.0), (9, 52.5)])], " %")
    assert chart.lines[0].end[2] == "52.5 %" and all(tick.label.endswith(" %") for tick in chart.y_ticks)
    assert not any(tick.label.endswith("%") for tick in chart.x_ticks)
