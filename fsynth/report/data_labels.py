"""The labels of a data report: how often each occurs, what comes together, how the splits differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsynth import plots
from fsynth.data.labels import LABELS
from fsynth.data.overview import TERM
from fsynth.data.splits import TEST, TRAIN
from fsynth.data_plots import TITLES
from fsynth.report.blocks import (
    Bar,
    Block,
    Cell,
    Compared,
    Heading,
    HeatMap,
    Options,
    Pair,
    Panel,
    Panels,
    Section,
    Table,
    Words,
    percent,
    points,
)
from fsynth.report.data_overview import record_of

MOST_BARS, MOST_TERMS, MOST_COLUMNS, MOST_PAIRS, MOST_COMPARED = 20, 12, 17, 12, 8
_MAPS = (
    ("Category and colour", "category", ("color",)),
    ("Category, sleeve and gender", "category", ("sleeve", "gender")),
    ("Category and what is said besides", "category", (TERM,)),
)


def data_labels(folder: Path, options: Options) -> Section | None:
    """Rows of every label, as bars."""
    record = record_of(folder)
    if record is None:
        return None
    rows = sum(record["rows"].values())
    panels = [_panel(column, record["labels"][column]) for column in TITLES]
    lead = f"Rows of {rows:,} with each label. Colours are shown as they are called."
    said = sum(_total(count) for count in record["labels"][TERM].values())
    blocks: list[Block] = [Panels(tuple(panel for panel in panels if panel.bars), "wider")]
    if not said:
        blocks.append(Words("The sentences say nothing besides: no prints, no fabrics."))
    return Section("Labels", lead, tuple(blocks))


def together(folder: Path, options: Options) -> Section | None:
    """Heat maps of labels that come together, and the pairs that do so most."""
    record = record_of(folder)
    if record is None:
        return None
    tables = {(table["first"], table["second"]): table for table in record["together"]}
    maps = [
        heat_map(title, [tables[first, second] for second in seconds])
        for title, first, seconds in _MAPS
        if all(tables[first, second]["columns"] for second in seconds)
    ]
    lead = (
        "A field's number is rows with both labels; its colour is their share of the rows of the label on "
        "the left."
    )
    return Section("What comes together", lead, (*maps, *_strongest(record["together"])))


def heat_map(title: str, tables: Sequence[Mapping[str, Any]]) -> HeatMap:
    """`overview.together` tables of the same first column, side by side."""
    totals = tables[0]["row_totals"]
    shares = [
        [count / max(1, total) for table in tables for count in table["counts"][place][:MOST_COLUMNS]]
        for place, total in enumerate(totals)
    ]
    highest = max(map(max, shares))
    rows = []
    for place, name in enumerate(tables[0]["rows"][:MOST_BARS]):
        cells = [
            Cell(_short(count), share / highest, f"{name}, {column}: {count:,} rows, {percent(share)}")
            for (column, count), share in zip(_fields(tables, place), shares[place], strict=True)
        ]
        rows.append((name, f"{totals[place]:,}", tuple(cells)))
    return HeatMap(title, _headings(tables), tuple(rows), high=percent(highest))


def _fields(tables: Sequence[Mapping[str, Any]], place: int) -> list[tuple[str, int]]:
    return [
        pair
        for table in tables
        for pair in zip(table["columns"][:MOST_COLUMNS], table["counts"][place], strict=False)
    ]


def _headings(tables: Sequence[Mapping[str, Any]]) -> tuple[Heading, ...]:
    return tuple(
        Heading(name, colors(name) if table["second"] == "color" else (), gap=number > 0 and place == 0)
        for number, table in enumerate(tables)
        for place, name in enumerate(table["columns"][:MOST_COLUMNS])
    )


def _short(count: int) -> str:
    """12663 -> 12.7k; nothing for none."""
    if count < 1000:
        return str(count or "")
    return f"{count / 1000:.1f}k" if count < 99950 else f"{count / 1000:,.0f}k"


def _strongest(tables: Sequence[Mapping[str, Any]]) -> list[Table]:
    pairs = [pair for table in tables for pair in table["strongest"]]
    best = sorted(pairs, key=lambda pair: -pair["lift"])[:MOST_PAIRS]
    lines = [
        (
            " + ".join(pair["labels"]),
            f"{pair['count']:,}",
            f"{pair['expected']:,.0f}",
            f"× {pair['lift']:.1f}",
        )
        for pair in best
    ]
    head = ("labels", "rows", "by chance", "more often")
    lead = "More often together than each of them alone would make them; pairs of few rows are left out."
    return [Table("Strongest pairs.", head, {"": lines}, lead)] if lines else []


def division(folder: Path, options: Options) -> Section | None:
    """Training rows against test rows."""
    record = record_of(folder)
    if record is None or not record["differences"]:
        return None
    sizes = record["rows"][TRAIN], record["rows"][TEST]
    panels = tuple(
        (
            _titled(TITLES[column], len(record["labels"][column]) - MOST_COMPARED),
            _difference(record["differences"][column]),
            _pairs(record["labels"][column], sizes),
        )
        for column in TITLES
        if column in LABELS
    )
    lead = (
        f"Shares of {sizes[0]:,} training and {sizes[1]:,} test rows. The difference is the share of rows "
        "that would need another label for both to be alike; by chance it stays below the second number in "
        "19 of 20 random splits."
    )
    return Section("Training against test", lead, (Compared(("train", "test"), panels),))


def _difference(found: Mapping[str, float]) -> str:
    said = "more than chance" if found["distance"] > found["chance"] else "as by chance"
    return f"{percent(found['distance'])} apart, chance up to {percent(found['chance'])}: {said}"


def _pairs(counts: Mapping[str, Mapping[str, int]], sizes: tuple[int, int]) -> tuple[Pair, ...]:
    pairs = []
    for label, splits in list(counts.items())[:MOST_COMPARED]:
        train, test = splits.get(TRAIN, 0) / sizes[0], splits.get(TEST, 0) / sizes[1]
        pairs.append(Pair(label, (train, test), _moved(test - train)))
    return tuple(pairs)


def _moved(by: float) -> str:
    return points(by) if abs(by) >= 0.0005 else "0.0"


def _panel(column: str, counts: Mapping[str, Mapping[str, int]]) -> Panel:
    totals = [(label, _total(count)) for label, count in counts.items()]
    most = MOST_TERMS if column == TERM else MOST_BARS
    return bars(TITLES[column], totals, colored=column == "color", most=most)


def bars(
    title: str, counts: Sequence[tuple[str, int]], colored: bool = False, most: int = MOST_BARS
) -> Panel:
    """The first ``most`` of the counts, which are the most frequent."""
    longest = max((count for _, count in counts), default=1)
    shown = tuple(
        Bar(label, count / longest, f"{count:,}", colors(label) if colored else ())
        for label, count in counts[:most]
    )
    return Panel(_titled(title, len(counts) - len(shown)), shown)


def _titled(title: str, left_out: int) -> str:
    return f"{title} ({left_out:,} rarer left out)" if left_out > 0 else title


def colors(label: str) -> tuple[str, ...]:
    """What a colour of the labels looks like, in CSS; the multicoloured has several."""
    return plots.MULTICOLOR if label == "multicolor" else (plots.SWATCHES.get(label, "#d9dce1"),)


def _total(count: Mapping[str, int]) -> int:
    return sum(count.values())
