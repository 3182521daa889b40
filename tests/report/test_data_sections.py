"""The parts of a data report that are worked out from its numbers: heat maps, histograms, frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fsynth import plots
from fsynth.data import overview
from fsynth.data.overview import Rows
from fsynth.report import data_labels, data_sentences

COLORS = ["red"] * 1500 + ["blue"] * 500 + ["red"] * 10
CATEGORIES = ["dress"] * 2000 + ["tee"] * 10


def _table(columns: tuple[str, str] = ("category", "color")) -> dict:
    count = len(COLORS)
    labels = {"category": [(one,) for one in CATEGORIES], "color": [(one,) for one in COLORS]}
    rows = Rows(list(range(count)), ["train"] * count, [""] * count, [""] * count, labels)
    return overview.together(rows, *columns)


def test_a_heat_map_shows_counts_and_is_as_deep_as_their_share_of_the_row():
    found = data_labels.heat_map("t", [_table(), _table()])
    assert [(name, total) for name, total, _ in found.rows] == [("dress", "2,000"), ("tee", "10")]
    assert [heading.label for heading in found.columns] == ["red", "blue", "red", "blue"]
    assert [heading.gap for heading in found.columns] == [False, False, True, False]
    dress, tee = (cells for *_, cells in found.rows)
    assert [cell.text for cell in dress] == ["1.5k", "500"] * 2 and [cell.text for cell in tee] == [
        "10",
        "",
    ] * 2
    assert [cell.tint for cell in dress[:2]] == [0.75, 0.25] and tee[0].tint == 1
    assert dress[0].note.startswith("dress, red: 1,500 rows, 75.0") and found.high.startswith("100.0")
    assert dress[0].deep and not dress[1].deep


def test_the_plot_of_a_heat_map_has_every_count_but_those_of_a_label_with_itself():
    (axes,) = plots.heat_map(_table(), "t").axes
    assert {text.get_text() for text in axes.texts} == {"1,500", "500", "10", ""}
    (axes,) = plots.heat_map(_table(("category", "category")), "t").axes
    assert {text.get_text() for text in axes.texts} == {""}


@given(st.dictionaries(st.integers(0, 600), st.integers(1, 99), min_size=1), st.booleans())
def test_a_histogram_has_few_columns_and_loses_no_row(counts, limited):
    limit = (77, "limit 77") if limited else None
    found = data_sentences.histogram("t", "x", {str(number): rows for number, rows in counts.items()}, limit)
    assert len(found.columns) <= data_sentences.MOST_COLUMNS
    notes = [column.note.removesuffix(" rows").split(": ") for column in found.columns]
    assert sum(int(rows.replace(",", "")) for _, rows in notes) == sum(counts.values())
    assert max(column.share for column in found.columns) == 1
    if limited:
        first_beyond = int(notes[found.limit[0] + 1][0].split(" ")[0])
        assert 78 <= first_beyond < 78 + -(-601 // data_sentences.MOST_COLUMNS)


def test_the_range_of_lengths_names_their_median():
    assert data_sentences._range({"4": 1, "7": 1, "20": 3}) == "4 to 20, median 20"
    assert data_sentences._range({"4": 2, "7": 1, "20": 1}) == "4 to 20, median 4"
