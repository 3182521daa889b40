"""What a data set is made of: rows of every label, labels that come together, splits that differ. Pure.

A row has one gender, sleeve, category and colour, and any number of terms: what its sentence says besides.
Results are plain dicts and lists, ready for JSON.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fsynth.data import attributes, splits
from fsynth.data.labels import LABELS, UNKNOWN
from fsynth.keyed import seed_of

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

    from fsynth.data.sources import Source

TERM = "term"
"""The column of terms, beside those of `LABELS`."""
TOGETHER = (
    ("category", "color"),
    ("category", "sleeve"),
    ("category", "gender"),
    ("category", TERM),
    ("color", TERM),
    (TERM, TERM),
)
"""Columns whose labels are counted together."""
_LEAST_EXPECTED, _SURE = 5.0, 4.0
_TURNS = (splits.TRAIN, splits.VALIDATION, "", splits.TEST)
"""Sides in the order in which they are shown; the third is none."""
_DRAWS = 400
"""Splits drawn to see how far chance alone moves the shares."""

Counts = Mapping[str, Mapping[str, int]]
"""Label -> split -> rows."""


@dataclass(frozen=True)
class Rows:
    """All rows of a source, in the order of their numbers: one entry each.

    ``labels``: column -> the names that the row has in it, one but for `TERM`.
    """

    number: list[int]
    split: list[str]
    name: list[str]
    text: list[str]
    labels: dict[str, list[tuple[str, ...]]]

    def __len__(self) -> int:
        return len(self.number)

    @property
    def splits(self) -> list[str]:
        """The splits that have rows, training first."""
        there = set(self.split)
        return [name for name in (splits.TRAIN, splits.VALIDATION, splits.TEST) if name in there]


def rows_of(source: Source) -> Rows:
    """Everything but the pictures of an opened source."""
    parts = {splits.TRAIN: source.train, splits.VALIDATION: source.validation, splits.TEST: source.test}
    there = {name: part for name, part in parts.items() if part is not None and len(part)}
    plain = {name: _columns(part) for name, part in there.items()}
    number, name, text = ([value for part in plain.values() for value in part[key]] for key in _PLAIN)
    split = [split for split, part in there.items() for _ in range(len(part))]
    order = np.argsort(number, kind="stable").tolist()
    labels = {
        column: [(value,) for part in plain.values() for value in _named(part[column], LABELS[column])]
        for column in LABELS
    }
    labels[TERM] = [attributes.parse(sentence).terms for sentence in text]
    ordered = ([values[place] for place in order] for values in (number, split, name, text))
    return Rows(*ordered, {key: [values[place] for place in order] for key, values in labels.items()})


_PLAIN = ("row", "name", "text")


def _columns(part: datasets.Dataset) -> dict[str, list[Any]]:
    return part.select_columns([*_PLAIN, *LABELS])[:]


def _named(codes: Sequence[int | None], names: Sequence[str]) -> list[str]:
    return [UNKNOWN if code is None else names[code] for code in codes]


def label_counts(rows: Rows) -> dict[str, dict[str, dict[str, int]]]:
    """Column -> label -> split -> rows, the most frequent label first; labels of no row are left out."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for column, values in rows.labels.items():
        counts = Counter(
            (label, split) for row, split in zip(values, rows.split, strict=True) for label in row
        )
        totals: Counter[str] = Counter()
        for (label, _), count in counts.items():
            totals[label] += count
        ordered = sorted(totals, key=lambda label: (-totals[label], label))
        found[column] = {label: {split: counts[label, split] for split in rows.splits} for label in ordered}
    return found


def together(rows: Rows, first: str, second: str) -> dict[str, Any]:
    """How many rows have each pair of labels of two columns.

    Returns:
        ``first``, ``second``: the columns; ``rows``, ``columns``: their labels, the most frequent first;
        ``counts``: a list a label of ``first``; ``row_totals``, ``column_totals``: rows of each label;
        ``of``: all rows. Of a column with itself, a label's own count stands on the diagonal.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    totals: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    for one, other in zip(rows.labels[first], rows.labels[second], strict=True):
        pairs.update((a, b) for a in one for b in other)
        totals[0].update(one)
        totals[1].update(other)
    names = [sorted(total, key=lambda label: (-total[label], label)) for total in totals]
    return {
        "first": first,
        "second": second,
        "rows": names[0],
        "columns": names[1],
        "counts": [[pairs[a, b] for b in names[1]] for a in names[0]],
        "row_totals": [totals[0][name] for name in names[0]],
        "column_totals": [totals[1][name] for name in names[1]],
        "of": len(rows),
    }


def strongest(table: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    """Pairs of a `together` table that are more frequent than their labels alone would make them.

    Only pairs of which chance would make at least 5, and that are 4 standard deviations above it.

    Returns:
        the greatest ``lift`` first: ``labels`` (two), ``count``, ``expected`` rows, ``lift`` (their ratio).
    """
    counts = np.asarray(table["counts"], float).reshape(len(table["rows"]), len(table["columns"]))
    shares = [
        np.asarray(table[name], float) / max(1, table["of"]) for name in ("row_totals", "column_totals")
    ]
    expected = np.outer(*shares) * table["of"]
    spread = np.sqrt(expected * np.outer(1 - shares[0], 1 - shares[1]))
    sure = (expected >= _LEAST_EXPECTED) & (counts - expected >= _SURE * spread) & (spread > 0)
    if table["first"] == table["second"]:
        sure &= np.tri(len(counts), k=-1, dtype=bool).T  # each pair once, no label with itself
    places = sorted(zip(*np.nonzero(sure), strict=True), key=lambda at: -counts[at] / expected[at])
    return [
        {
            "labels": [table["rows"][a], table["columns"][b]],
            "count": int(counts[a, b]),
            "expected": round(float(expected[a, b]), 1),
            "lift": round(float(counts[a, b] / expected[a, b]), 2),
        }
        for a, b in places[:most]
    ]


def split_difference(counts: Counts, first: str, second: str, seed: int = 0) -> dict[str, float]:
    """How far two splits differ in a label of which every row has one.

    Returns:
        ``distance``: total variation, the share of the rows of one split that would need another label to
        match the other, 0 to 1; ``chance``: what 95 % of random splits of the same sizes stay below.
    """
    sides = np.array([[split.get(name, 0) for split in counts.values()] for name in (first, second)])
    pooled, size = sides.sum(axis=0), int(sides[1].sum())
    draw = np.random.default_rng(seed_of(seed, "split difference", first, second, pooled.sum().item()))
    drawn = draw.multivariate_hypergeometric(pooled, size, _DRAWS, method="marginals")
    by_chance = [_distance(np.stack([pooled - side, side])) for side in drawn]
    return {"distance": _distance(sides), "chance": float(np.quantile(by_chance, 0.95))}


def _distance(sides: NDArray[np.int64]) -> float:
    shares = sides / np.maximum(1, sides.sum(axis=1, keepdims=True))
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def worst_first(rows: Rows, groups: Collection[Sequence[int]]) -> tuple[list[list[int]], int]:
    """Groups of repeated pictures in the order of their harm: those with training and test rows first, then
    others of two sides; the sides take turns. And how many the first ones are."""
    side = dict(zip(rows.number, rows.split, strict=True))
    found = []
    for group in groups:
        parts = [[row for row in group if side.get(row, "") == name] for name in _TURNS]
        turns = sorted([turn for part in parts for turn in enumerate(part)], key=lambda turn: turn[0])
        harm = 2 if parts[0] and parts[-1] else sum(map(bool, parts)) > 1
        found.append((-harm, list(group), [row for _, row in turns]))
    found.sort(key=lambda one: one[:2])
    return [ordered for *_, ordered in found], sum(harm == -2 for harm, *_ in found)


def examples(
    rows: Rows, readable: set[int], categories: int, each: int, seed: int = 0
) -> list[dict[str, Any]]:
    """Rows that show what the most frequent categories look like, each in its most frequent colours.

    Args:
        readable: numbers of rows whose picture may be shown.
        categories: at most as many; ``each``: pictures of one.
        seed: which of the rows of a category and colour is taken.

    Returns:
        a dict a category, the most frequent first: ``category``, ``count`` (all its rows) and ``shown``, a
        list of ``row`` and ``color``; where it has fewer colours than ``each``, some come again.
    """
    places: dict[str, dict[str, list[int]]] = {}
    for place, number in enumerate(rows.number):
        if number in readable:
            (category,), (color,) = (rows.labels[column][place] for column in ("category", "color"))
            places.setdefault(category, {}).setdefault(color, []).append(number)
    sizes = Counter(category for (category,) in rows.labels["category"])
    known = sorted((name for name in places if name != UNKNOWN), key=lambda name: (-sizes[name], name))
    known = known[:categories] or sorted(places)
    return [
        {"category": name, "count": sizes[name], "shown": _spread_colors(places[name], each, (seed, name))}
        for name in known
    ]


def _spread_colors(
    by_color: Mapping[str, list[int]], each: int, key: tuple[Any, ...]
) -> list[dict[str, Any]]:
    """One row of every colour, the most frequent first, then a second of every colour, and so on."""
    queues = {
        color: np.random.default_rng(seed_of("example", *key, color)).permutation(numbers).tolist()
        for color, numbers in sorted(by_color.items(), key=lambda item: (-len(item[1]), item[0]))
    }
    turns = max(map(len, queues.values()), default=0)
    found = [
        (queue[turn], color) for turn in range(turns) for color, queue in queues.items() if turn < len(queue)
    ]
    return [{"row": row, "color": color} for row, color in found[:each]]
