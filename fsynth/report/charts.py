"""Line charts as positions in percent: what a page draws as SVG and text, at any width and in any colours.

The page stretches the lines (``viewBox 0 0 100 100``, strokes that do not scale) and sets the words beside
them as ordinary text, so type has one size on a phone and on a wide screen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Points = Sequence[tuple[float, float]]
Place = Callable[[float, float], tuple[float, float]]

MOST_POINTS = 400
_LABEL = 7.0  # percent of the height that a label takes
_MARGIN = 0.08  # of the range of values, above and below
_LEAST_RANGE = 0.1  # of the largest value: so that a change of a thousandth does not look like one
_NEAR_ZERO = 0.25  # of the largest value: an axis whose values come so near to 0 starts there
_SPARED = 0.02  # share of the faint values that may leave the chart at either end


@dataclass(frozen=True)
class Line:
    """Values to draw. A ``faint`` line is background: its outliers do not set the range of the chart. A
    ``second`` one is as strong as the first, in another colour."""

    name: str
    points: Points
    weight: Literal["strong", "second", "faint"] = "strong"


@dataclass(frozen=True)
class Tick:
    """A label and where it stands: percent from the left, or from the top."""

    at: float
    label: str


@dataclass(frozen=True)
class Drawn:
    """A line as an SVG path in percent; ``dots`` and the ``end`` only where it is not faint. The label of
    the end stands at ``end_at``, where it has room."""

    name: str
    weight: str
    path: str
    dots: tuple[tuple[float, float, str], ...]
    end: tuple[float, float, str] | None
    end_at: float = 0.0


@dataclass(frozen=True)
class Chart:
    """A chart that is ready to be set; ``from_zero``: whether 0 lies on its vertical axis."""

    title: str
    x_title: str
    lines: tuple[Drawn, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    from_zero: bool


def chart(title: str, x_title: str, lines: Sequence[Line], unit: str = "") -> Chart:
    """Lay out lines that share both axes. At least one line has a point; values are finite. Every value has
    the ``unit`` behind it.

    The vertical axis starts at 0 only where values come near it: a loss has no meaningful zero, and its
    changes are small.
    """
    xs = [x for line in lines for x, _ in line.points]
    left, right = min(xs), max(max(xs), min(xs) + 1)
    low, high = _value_range(lines)

    def place(x: float, y: float) -> tuple[float, float]:
        across, down = (x - left) / (right - left), (high - y) / (high - low)
        return round(100 * across, 2), round(100 * min(1.0, max(0.0, down)), 2)

    return Chart(
        title=title,
        x_title=x_title,
        lines=_with_room([_drawn(line, place, unit) for line in lines if line.points]),
        x_ticks=tuple(Tick(place(x, low)[0], f"{x:,g}") for x in _ticks(left, right, whole=True)),
        y_ticks=tuple(Tick(place(left, y)[1], f"{y:g}{unit}") for y in _ticks(low, high)),
        from_zero=low <= 0 <= high,
    )


def _value_range(lines: Sequence[Line]) -> tuple[float, float]:
    values: list[float] = []
    for line in lines:
        found = sorted(y for _, y in line.points)
        spared = int(len(found) * _SPARED) if line.weight == "faint" else 0
        values += found[spared : len(found) - spared]
    low, high = min(values), max(values)
    margin = _MARGIN * (high - low)
    margin = max(margin, (_LEAST_RANGE * max(abs(low), abs(high)) - (high - low)) / 2) or 1.0
    return 0.0 if 0 <= low <= _NEAR_ZERO * high else low - margin, high + margin


def _ticks(low: float, high: float, whole: bool = False) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high)
    return [float(f"{tick:.6g}") for tick in ticks if low <= tick <= high]


def _drawn(line: Line, place: Place, unit: str) -> Drawn:
    points = [(*place(x, y), f"{y:.4g}{unit}") for x, y in _thinned(line.points)]
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y, _ in points)
    strong = line.weight != "faint"
    return Drawn(
        line.name, line.weight, path, tuple(points) if strong else (), points[-1] if strong else None
    )


def _with_room(lines: Sequence[Drawn]) -> tuple[Drawn, ...]:
    """Labels of ends moved apart, in their order, where they would lie on each other."""
    places: dict[str, float] = {}
    lowest = -_LABEL
    for line in sorted((line for line in lines if line.end), key=lambda line: line.end[1]):
        lowest = places[line.name] = max(line.end[1], lowest + _LABEL)
    return tuple(replace(line, end_at=places.get(line.name, 0.0)) for line in lines)


def _thinned(points: Points) -> Points:
    every = -(-len(points) // MOST_POINTS)
    kept = list(points[::every])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]
