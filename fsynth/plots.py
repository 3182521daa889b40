"""Plots of labels and data sets. Every function returns a matplotlib Figure that belongs to nobody else.

Figures are made without pyplot: no window, no state shared between calls, no leak in long processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fsynth.data.captions import Bins

INK, FAINT, BAR, ACCENT, HEAT = "#22242a", "#6f757e", "#4f6d8f", "#a8402c", "#32506f"
DEEP = 0.65
"""Beyond this share of the deepest ground, numbers on it are light."""
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
_MOST_ROWS, _MOST_COLUMNS = 20, 17  # of a heat map


def label_bars(panels: Mapping[str, Counts], rows: int | None, title: str, most: int = 20) -> Figure:
    """Horizontal bars of label counts, one panel a kind of label, largest on top.

    Args:
        panels: panel title -> label -> rows, in three columns. A panel whose title starts with "Colour"
            shows each bar in its colour. Empty panels are left out.
        rows: what shares are of; None for no shares.
        title: of the whole figure.
        most: bars in a panel; the rarest beyond it are left out, and the panel's title says so.

    Returns:
        a figure of 5 inches a column by as much as the longest column needs.
    """
    from matplotlib.figure import Figure

    columns = _columns({name: min(len(counts), most) for name, counts in panels.items() if counts})
    rows_high = max(sum(bars + _GAP for _, bars in column) for column in columns)
    figure = Figure(figsize=(5 * len(columns), _BAR_INCHES * rows_high + 0.75), dpi=110, facecolor="white")
    unit = _BAR_INCHES / figure.get_figheight()
    part = 1 / len(columns)
    figure.text(0.06 * part, 1 - 1.5 * unit, title, size=17, weight="bold", color=INK, va="center")
    for i, column in enumerate(columns):
        top = 1 - 3 * unit
        for name, bars in column:
            top -= _GAP * unit
            axes = figure.add_axes(((i + 0.285) * part, top - (bars - 1) * unit, 0.435 * part, bars * unit))
            _bars(axes, name, panels[name], rows, most)
            top -= bars * unit
    return figure


def _columns(sizes: Mapping[str, int]) -> list[list[tuple[str, int]]]:
    """Panels into three columns, in order, each to the shortest column so far."""
    columns: list[list[tuple[str, int]]] = [[], [], []]
    for name, bars in sizes.items():
        min(columns, key=lambda column: sum(other + _GAP for _, other in column)).append((name, bars))
    return [column for column in columns if column]


def _bars(axes: Axes, name: str, counts: Counts, rows: int | None, most: int) -> None:
    shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    axes.set_axis_off()
    axes.set_xlim(0, max(1, shown[0][1]))
    axes.set_ylim(len(shown) - 0.4, -0.6)
    for y, (label, count) in enumerate(shown):
        _bar(axes, y, label, count, colored=name.startswith("Colour"))
        style = {"textcoords": "offset points", "va": "center"}
        axes.annotate(label, (0, y), (-6, 0), ha="right", color=INK, **style)
        axes.annotate(f"{count:,}{_percent(count, rows)}", (count, y), (5, 0), color=FAINT, **style)
    left_out = f"  ({len(counts) - len(shown)} rarer left out)" if len(counts) > len(shown) else ""
    axes.set_title(name + left_out, loc="left", size=12, weight="bold", color=INK, pad=7)


def _percent(count: int, rows: int | None) -> str:
    if rows is None:
        return ""
    share = 100 * count / max(1, rows)
    return f"   {share:.1f} %" if share >= 0.1 else "   < 0.1 %"


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


def heat_map(table: Mapping[str, Any], title: str) -> Figure:
    """A `fsynth.data.overview.together` table: counts on ground that is deeper the greater their share of the
    row. At most 20 rows and 17 columns, the most frequent; without the diagonal of a column with itself."""
    columns, same = table["columns"][:_MOST_COLUMNS], table["first"] == table["second"]
    counts = [
        [0 if same and x == y else count for x, count in enumerate(line[:_MOST_COLUMNS])]
        for y, line in enumerate(table["counts"][:_MOST_ROWS])
    ]
    totals = table["row_totals"][:_MOST_ROWS]
    shares = [[count / max(1, total) for count in line] for line, total in zip(counts, totals, strict=True)]
    figure = _sheet(max(6.5, 2.2 + 0.62 * len(columns)), 1.9 + 0.34 * len(counts))
    axes = figure.add_subplot()
    axes.pcolormesh(shares, cmap=_scale(), vmin=0, edgecolors="white", linewidth=1.5)
    axes.invert_yaxis()
    _name_fields(
        axes, columns, [f"{name}  {total:,}" for name, total in zip(table["rows"], totals, strict=False)]
    )
    _write_counts(axes, counts, shares)
    axes.set_title(title, loc="left", size=13, weight="bold", color=INK, pad=10)
    return figure


def _sheet(width: float, height: float) -> Figure:
    """In inches; whatever is drawn on it keeps a margin."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.15)
    return figure


def _scale() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("bars", ["#f3f1ec", HEAT])


def _name_fields(axes: Axes, columns: Sequence[str], rows: Sequence[str]) -> None:
    axes.set_xticks([x + 0.5 for x in range(len(columns))], columns, rotation=45, ha="right")
    axes.set_yticks([y + 0.5 for y in range(len(rows))], rows)
    axes.tick_params(length=0, labelcolor=INK)
    for side in axes.spines.values():
        side.set_visible(False)


def _write_counts(axes: Axes, counts: Sequence[Sequence[int]], shares: Sequence[Sequence[float]]) -> None:
    deep = DEEP * max(map(max, shares))
    for y, line in enumerate(counts):
        for x, count in enumerate(line):
            color = "white" if shares[y][x] > deep else INK
            text = f"{count:,}" if count else ""
            axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", size=8, color=color)


def histograms(panels: Mapping[str, Bins], limits: Mapping[str, int]) -> Figure:
    """Rows by a whole number, panels side by side, each named under its axis.

    Args:
        panels: name -> rows.
        limits: name -> the last number before a line.
    """
    from matplotlib.ticker import MaxNLocator

    figure = _sheet(6.5 * len(panels), 4)
    side_by_side = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, bins) in zip(side_by_side, panels.items(), strict=True):
        centers = [start + (bins.width - 1) / 2 for start in bins.starts]
        axes.bar(centers, bins.rows, width=0.9 * bins.width, color=BAR)
        if name in limits:
            axes.axvline(limits[name] + 0.5, color=ACCENT, linestyle="--")
            axes.set_title(f"limit {limits[name]}", loc="right", size=10, color=ACCENT)
        axes.set_xlim(bins.starts.start - 1, bins.starts.stop)
        axes.set_xlabel("; ".join(filter(None, (name, bins.left_out))), color=INK)
        axes.set_ylabel("rows", color=INK)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def split_bars(panels: Mapping[str, Mapping[str, Mapping[str, int]]], first: str, second: str) -> Figure:
    """Shares of labels in two splits, a panel a column of labels.

    Args:
        panels: title -> label -> split -> rows.
        first, second: names of the splits.
    """
    most = max(map(len, panels.values()))
    figure = _sheet(15, 1.5 + 0.32 * most)
    side_by_side = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, counts) in zip(side_by_side, panels.items(), strict=True):
        for side, (name, color) in enumerate(((first, BAR), (second, ACCENT))):
            total = max(1, sum(split.get(name, 0) for split in counts.values()))
            shares = [100 * split.get(name, 0) / total for split in counts.values()]
            places = [place + 0.4 * side - 0.2 for place in range(len(counts))]
            axes.barh(places, shares, height=0.38, color=color, label=f"{name}, {total:,} rows")
        axes.set_yticks(range(len(counts)), list(counts))
        axes.set_ylim(most - 0.5, -0.5)  # bars of one height in all panels
        axes.set_title(title, loc="left", size=12, weight="bold", color=INK)
        axes.set_xlabel("% of rows", color=INK)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


def overlaps(similarities: Mapping[str, Any]) -> Figure:
    """A record of `fsynth.similarities.record`: two histograms over each other, a panel a model.

    Each histogram is of shares of its own pairs: there are far more pairs that do not match.
    """
    models = similarities["models"]
    figure = _sheet(6.5 * len(models), 4)
    side_by_side = figure.subplots(1, len(models), squeeze=False, sharex=True)[0]
    for axes, (name, found) in zip(side_by_side, models.items(), strict=True):
        for kind, color in (("others", FAINT), ("matching", ACCENT)):
            total = max(1, sum(found[kind]))
            shares = [100 * count / total for count in found[kind]]
            starts = [similarities["start"] + place * similarities["width"] for place in range(len(shares))]
            label = {"others": "other pairs", "matching": "matching pairs"}[kind]
            axes.bar(
                starts, shares, similarities["width"], align="edge", color=color, alpha=0.55, label=label
            )
        auc = "" if found["auc"] is None else f", AUC {found['auc']:.3f}"
        axes.set_title(f"{name}{auc}", loc="left", size=12, weight="bold", color=INK)
        axes.set_xlabel("cosine of picture and sentence", color=INK)
        axes.set_ylabel("% of its pairs", color=INK)
        axes.spines[["top", "right"]].set_visible(False)
    side_by_side[-1].legend(frameon=False)
    return figure


_BESIDE = {"textcoords": "offset points", "size": 9, "color": FAINT}


def trade_off(
    points: Sequence[tuple[float, float, float]], chosen: float, chance: float, x_title: str, y_title: str
) -> Figure:
    """Two qualities of blends of two models against each other, in percent, along the way between them.

    Args:
        points: (share of the second model, quality across, quality upwards); qualities are in [0, 1].
        chosen: share of the blend that was taken.
        chance: the quality across of a model that knows nothing.
    """
    figure = _sheet(7, 5)
    axes = figure.add_subplot()
    axes.axvline(100 * chance, color=FAINT, linestyle="--", linewidth=1)
    axes.annotate("chance", (100 * chance, 0.02), (4, 0), xycoords=("data", "axes fraction"), **_BESIDE)
    across, up = ([100 * point[place] for point in points] for place in (1, 2))
    axes.plot(across, up, color=BAR, marker="o", markersize=5, linewidth=1.5)
    for (share, _, _), x, y in zip(points, across, up, strict=True):
        taken = share == chosen
        if taken:
            axes.plot([x], [y], color=ACCENT, marker="o", markersize=9)
        style = {"color": ACCENT if taken else INK, "weight": "bold" if taken else "normal"}
        text = f"a = {share:g}, taken" if taken else f"{share:g}"
        axes.annotate(text, (x, y), (7, 5), size=9, textcoords="offset points", **style)
    axes.margins(0.15)
    axes.set_xlabel(x_title, color=INK)
    axes.set_ylabel(y_title, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(
        "Blends of the weights before (0) and after (1)", loc="left", size=13, weight="bold", color=INK
    )
    return figure
