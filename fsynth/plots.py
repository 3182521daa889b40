"""Plots of labels and runs. Every function returns a matplotlib Figure that belongs to nobody else.

Figures are made without pyplot: no window, no state shared between calls, no leak in long processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, BAR = "#22242a", "#6f757e", "#4f6d8f"
SWATCHES = {
    "red": "#c8373a",
    "blue": "#3a67b0",
    "white": "#fbfbf8",
    "pink": "#ec9ab4",
    "orange": "#ea8a35",
    "black": "#1d1d20",
    "brown": "#7d5236",
    "green": "#4a8f54",
    "purple": "#7c559c",
    "yellow": "#edcb46",
    "khaki": "#b5a36c",
    "gray": "#969a9f",
    "beige": "#e2d3b5",
    "blonde": "#e8d08a",
    "silver": "#c3c8cd",
    "olive": "#7b7a35",
}
"""What a bar of each colour looks like; multicolour bars show all of `MULTICOLOR`."""
MULTICOLOR = ("#c8373a", "#ea8a35", "#edcb46", "#4a8f54", "#3a67b0", "#7c559c")
_BAR_INCHES, _GAP = 0.285, 2.2  # height of a bar, and bars of room above a panel

Counts = Mapping[str, int]


def label_bars(panels: Mapping[str, Counts], rows: int, title: str, most: int = 20) -> Figure:
    """Horizontal bars of label counts, one panel a kind of label, largest on top.

    Args:
        panels: panel title -> label -> rows, in three columns. A panel whose title starts with "Colour"
            shows each bar in its colour. Empty panels are left out.
        rows: what shares are of.
        title: of the whole figure.
        most: bars in a panel; the rarest beyond it are left out, and the panel's title says so.

    Returns:
        a figure of 15 inches by as much as the longest column needs.
    """
    from matplotlib.figure import Figure

    columns = _columns({name: min(len(counts), most) for name, counts in panels.items() if counts})
    rows_high = max(sum(bars + _GAP for _, bars in column) for column in columns)
    figure = Figure(figsize=(15, _BAR_INCHES * rows_high + 0.75), dpi=110, facecolor="white")
    unit = _BAR_INCHES / figure.get_figheight()
    figure.text(0.02, 1 - 1.5 * unit, title, size=17, weight="bold", color=INK, va="center")
    for i, column in enumerate(columns):
        top = 1 - 3 * unit
        for name, bars in column:
            top -= _GAP * unit
            axes = figure.add_axes((0.095 + 0.325 * i, top - (bars - 1) * unit, 0.165, bars * unit))
            _bars(axes, name, panels[name], rows, most)
            top -= bars * unit
    return figure


def _columns(sizes: Mapping[str, int]) -> list[list[tuple[str, int]]]:
    """Panels into three columns, in order, each to the shortest column so far."""
    columns: list[list[tuple[str, int]]] = [[], [], []]
    for name, bars in sizes.items():
        min(columns, key=lambda column: sum(other + _GAP for _, other in column)).append((name, bars))
    return [column for column in columns if column]


def _bars(axes: Axes, name: str, counts: Counts, rows: int, most: int) -> None:
    shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    axes.set_axis_off()
    axes.set_xlim(0, max(1, shown[0][1]))
    axes.set_ylim(len(shown) - 0.4, -0.6)
    for y, (label, count) in enumerate(shown):
        _bar(axes, y, label, count, colored=name.startswith("Colour"))
        style = {"textcoords": "offset points", "va": "center"}
        axes.annotate(label, (0, y), (-6, 0), ha="right", color=INK, **style)
        axes.annotate(f"{count:,}   {_percent(count, rows)}", (count, y), (5, 0), color=FAINT, **style)
    left_out = f"  ({len(counts) - len(shown)} rarer left out)" if len(counts) > len(shown) else ""
    axes.set_title(name + left_out, loc="left", size=12, weight="bold", color=INK, pad=7)


def _percent(count: int, rows: int) -> str:
    share = 100 * count / max(1, rows)
    return f"{share:.1f} %" if share >= 0.1 else "< 0.1 %"


def _bar(axes: Axes, y: int, label: str, count: int, colored: bool) -> None:
    if colored and label == "multicolor":
        part = count / len(MULTICOLOR)
        axes.barh(
            [y] * len(MULTICOLOR),
            part,
            left=[part * i for i in range(len(MULTICOLOR))],
            height=0.72,
            color=MULTICOLOR,
        )
        return
    fill = SWATCHES.get(label, "#d9dce1") if colored else BAR
    edge = "#b9bdc4" if colored else fill
    axes.barh(y, count, height=0.72, color=fill, edgecolor=edge, linewidth=0.8)
