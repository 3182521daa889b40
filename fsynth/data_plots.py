"""The plots of a data report, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth import plots
from fsynth.data import captions
from fsynth.data.labels import LABELS
from fsynth.data.overview import TERM
from fsynth.data.splits import TEST, TRAIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "category": "Category",
    "color": "Colour",
    "sleeve": "Sleeve",
    "gender": "Gender",
    TERM: "Said besides",
}
"""Column of labels -> what plots and pages call it, in their order."""
WORDS = 30


def write(folder: Path, numbers: Mapping[str, Any]) -> None:
    """labels, together-*, lengths, words and, where there are test rows, splits.

    Args:
        numbers: the record of `fsynth.data.summary.summarize`.
    """
    for name, figure in _figures(numbers).items():
        figure.savefig(folder / f"{name}.png")


def _figures(numbers: Mapping[str, Any]) -> dict[str, Figure]:
    labels, rows, said = numbers["labels"], sum(numbers["rows"].values()), numbers["sentences"]
    totals = {
        title: {label: sum(count.values()) for label, count in labels[column].items()}
        for column, title in TITLES.items()
    }
    words = {
        f"{title}, {min(WORDS, len(counts))} of {said[of]:,}": dict(counts[:WORDS])
        for title, counts, of in (
            ("Words", said["frequent_words"], "distinct_words"),
            ("Pairs of words", said["frequent_pairs"], "distinct_pairs"),
        )
    }
    limits = {"CLIP tokens in a sentence": said["token_limit"]}
    lengths = {"words in a sentence": said["words"], "CLIP tokens in a sentence": said["tokens"]}
    binned = {title: captions.bins(counts, limits.get(title)) for title, counts in lengths.items()}
    figures = {
        "labels": plots.label_bars(totals, rows, f"Labels of {rows:,} rows"),
        "lengths": plots.histograms(binned, limits),
        "words": plots.label_bars(words, None, f"Words of {rows:,} sentences", WORDS),
    }
    for table in numbers["together"]:
        if table["rows"] and table["columns"]:
            name = f"{TITLES[table['first']]} and {TITLES[table['second']].lower()}: rows with both"
            figures[f"together-{table['first']}-{table['second']}"] = plots.heat_map(table, name)
    if numbers["differences"]:
        compared = {title: labels[column] for column, title in TITLES.items() if column in LABELS}
        figures["splits"] = plots.split_bars(compared, TRAIN, TEST)
    return figures
