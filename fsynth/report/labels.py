"""Labels: how often each occurs, and how far sentences and codes agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fsynth import plots
from fsynth.report import files
from fsynth.report.blocks import (
    NARROW,
    Bar,
    Fact,
    Options,
    Panel,
    Panels,
    Section,
    Table,
    Words,
    percent,
)

if TYPE_CHECKING:
    import pyarrow as pa

MOST_BARS = 20
DRAWN = (
    "These sentences are drawn: they were made from the codes, so full agreement is expected. It says "
    "that the reading works, and nothing about the benchmark’s sentences."
)


def labels(folder: Path, options: Options) -> Section | None:
    """How often every label occurs, and how far sentences and codes agree (`fsynth data-labels`)."""
    record = files.record_of(folder / "agreement.json")
    if record is None or not (folder / "labels.parquet").is_file():
        return None
    from pyarrow import parquet

    table = parquet.read_table(folder / "labels.parquet")
    rows, columns = table.num_rows, record["columns"]
    counts = {
        title: Counter(table[f"said_{column}"].to_pylist())
        for title, column in (("Category", "category"), ("Colour", "color"))
    }
    counts["Said besides"] = Counter(table["terms"].combine_chunks().flatten().to_pylist())
    counts |= {title: Counter(table[f"said_{title.lower()}"].to_pylist()) for title in ("Sleeve", "Gender")}
    drawn = record.get("drawn", False)
    return Section(
        "Labels from sentences",
        f"What {rows:,} sentences say about their garments, read off the words alone.",
        (
            Panels(tuple(_panel(title, found, rows) for title, found in counts.items() if found)),
            _agreement(columns, rows),
            Words(record["rule"]),
            *([Words(DRAWN)] if drawn else ()),
        ),
        (_distinct(table, rows) if drawn else _worst(columns),),
    )


def _distinct(table: pa.Table, rows: int) -> Fact:
    distinct = len(table["text"].unique())
    return Fact("Distinct sentences", f"{distinct:,}", f"of {rows:,} drawn rows: sentences repeat")


def _worst(columns: Mapping[str, Mapping[str, float]]) -> Fact:
    worst = min(columns, key=lambda name: columns[name]["share"])
    note = f"{worst}, the hardest of {len(columns)} labels"
    return Fact("Sentences read as coded", percent(columns[worst]["share"]), note)


def _panel(title: str, counts: Mapping[str, int], rows: int) -> Panel:
    shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    bars = [
        Bar(label, count / shown[0][1], f"{count:,}", _colors(label) if title == "Colour" else ())
        for label, count in shown[:MOST_BARS]
    ]
    rest = len(shown) - len(bars)
    return Panel(title + (f" ({rest} rarer left out)" if rest else ""), tuple(bars))


def _colors(label: str) -> tuple[str, ...]:
    return plots.MULTICOLOR if label == "multicolor" else (plots.SWATCHES.get(label, "#d9dce1"),)


def _agreement(columns: Mapping[str, Mapping[str, float]], rows: int) -> Table:
    lines = [
        (name, f"{found['agree']:,}", f"{100 * found['share']:.2f}{NARROW}%", f"{found['unsaid']:,}")
        for name, found in columns.items()
    ]
    return Table(
        f"Sentences against the benchmark’s codes, {rows:,} rows",
        ("label", "agree", "share", "sentence does not say"),
        {"": lines},
    )
