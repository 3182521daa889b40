"""`fsynth data-labels`: labels and terms off the captions, and how far they agree with the codes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth import outputs, plots
from fsynth.config import DataLabelsConfig
from fsynth.console import say
from fsynth.data import annotation, attributes, drawn_archive, layout, places
from fsynth.data.labels import LABELS, UNKNOWN, UNSAID, agree

if TYPE_CHECKING:
    import pyarrow as pa

RULE = (
    "A row agrees when the label read off its sentence is the one its code names. A sentence that does not"
    " say counts as code 4 (not stated) for sleeve and 17 (multicolor) for colour, and as a disagreement for"
    " gender and category. Where sentence and code contradict each other, the sentence is followed and the"
    " row listed."
)


@dataclass(frozen=True)
class DataLabelsResult:
    """``agreement``: column -> {"agree": rows, "disagree": rows, "unsaid": rows, "share": 0..1}."""

    folder: Path
    table: Path
    disagreements: Path
    plot: Path
    rows: int
    agreement: dict[str, dict[str, float]]


def main(config: DataLabelsConfig) -> DataLabelsResult:
    """Write labels.parquet, labels.csv, agreement.json, disagreements.csv and labels.png into a new folder.

    Raises:
        DataError: an annotation that is missing or broken.
        OutputError: a place that cannot be written.
    """
    place = places.locate(config.data)
    where = layout.find(place.root)
    drawn = drawn_archive.holds_drawings(where)
    say(f"data: {where.annotation}{place.note}")
    rows = annotation.read(where.annotation)
    with outputs.whole_folder(config.output, "data-labels") as (staging, final):
        said = [attributes.parse(text) for text in rows.text]
        table = _table(rows, said, _split_names(where, len(rows)))
        agreement = {column: _agreement(table, column) for column in LABELS}
        _write(staging, table, agreement, drawn)
        title = f"What {len(rows):,} {'drawn ' if place.synthetic else ''}sentences say"
        plots.label_bars(_panels(table), len(rows), title).savefig(staging / "labels.png")
    for line in _lines(agreement, len(rows)):
        say(line)
    return DataLabelsResult(
        final,
        final / "labels.parquet",
        final / "disagreements.csv",
        final / "labels.png",
        len(rows),
        agreement,
    )


def _split_names(where: layout.Layout, rows: int) -> list[str | None]:
    names: list[str | None] = [None] * rows
    if where.splits is not None:
        splits = annotation.read_splits(where.splits, rows)
        for split in ("train", "test"):
            for row in getattr(splits, split):
                names[row] = split
    return names


def _table(
    rows: annotation.Annotation, said: list[attributes.Attributes], splits: list[str | None]
) -> pa.Table:
    """One line a row: the codes' names, what the sentence says (``said_...``), its terms, both agreeing."""
    import pyarrow as pa

    columns: dict[str, Any] = {"row": range(len(rows)), "name": rows.name, "text": rows.text}
    columns["split"] = pa.array(splits, pa.string())
    agrees = [True] * len(rows)
    for column, names in LABELS.items():
        columns[column] = [names[code] for code in rows.codes[column]]
        columns[f"said_{column}"] = [getattr(one, column) for one in said]
        pairs = zip(columns[column], columns[f"said_{column}"], strict=True)
        agrees = [before and agree(column, *pair) for before, pair in zip(agrees, pairs, strict=True)]
    terms = pa.array([list(one.terms) for one in said], pa.list_(pa.string()))
    return pa.table({**columns, "terms": terms, "agrees": agrees})


def _agreement(table: pa.Table, column: str) -> dict[str, float]:
    pairs = Counter(zip(table[column].to_pylist(), table[f"said_{column}"].to_pylist(), strict=True))
    same = sum(count for pair, count in pairs.items() if agree(column, *pair))
    unsaid = sum(count for (_, said), count in pairs.items() if said == UNKNOWN)
    rows = table.num_rows
    return {"agree": same, "disagree": rows - same, "unsaid": unsaid, "share": same / rows}


def _disagreements(table: pa.Table) -> pa.Table:
    """One line a row and column that disagree."""
    import pyarrow as pa
    from pyarrow import compute

    lines = [
        {key: row[key] for key in ("row", "name", "split", "text")}
        | {"column": column, "code": row[column], "sentence": row[f"said_{column}"]}
        for row in table.filter(compute.invert(table["agrees"])).to_pylist()
        for column in LABELS
        if not agree(column, row[column], row[f"said_{column}"])
    ]
    text = pa.string()
    kinds = {"row": pa.int64()} | dict.fromkeys(("name", "split", "text", "column", "code", "sentence"), text)
    return pa.Table.from_pylist(lines, schema=pa.schema(kinds))


def _write(folder: Path, table: pa.Table, agreement: dict[str, dict[str, float]], drawn: bool) -> None:
    from pyarrow import compute, csv, parquet

    parquet.write_table(table, folder / "labels.parquet")
    joined = compute.binary_join(table["terms"], ";")
    csv.write_csv(
        table.set_column(table.schema.get_field_index("terms"), "terms", joined), folder / "labels.csv"
    )
    csv.write_csv(_disagreements(table), folder / "disagreements.csv")
    record = {"rows": table.num_rows, "drawn": drawn, "rule": RULE, "columns": agreement}
    outputs.write_json(folder / "agreement.json", record)


def _panels(table: pa.Table) -> dict[str, Counter[str]]:
    """Rows of every label and term, as the sentences say them."""

    def counts(column: str) -> Counter[str]:
        return Counter(table[f"said_{column}"].to_pylist())

    return {
        "Category": counts("category"),
        "Colour": counts("color"),
        "Terms in the captions": Counter(table["terms"].combine_chunks().flatten().to_pylist()),
        "Sleeve": counts("sleeve"),
        "Gender": counts("gender"),
    }


def _lines(agreement: dict[str, dict[str, float]], rows: int) -> list[str]:
    head = f"{'label':<10}{'agree':>9}{'of':>9}{'share':>11}{'differ':>9}{'unsaid':>9}"
    lines = [
        f"{column:<10}{found['agree']:>9,}{rows:>9,}{100 * found['share']:>9.2f} %"
        f"{found['disagree']:>9,}{found['unsaid']:>9,}"
        for column, found in agreement.items()
    ]
    as_said = " and ".join(f"'{code}' ({column})" for column, code in UNSAID.items())
    return [head, *lines, f"unsaid by the sentence: agrees with the code {as_said}, else differs"]
