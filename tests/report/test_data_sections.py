"""The parts of a data report that are worked out from its numbers: heat maps, histograms, frames."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from fsynth import plots
from fsynth.data import captions, overview
from fsynth.data.overview import Rows
from fsynth.report import data_labels, data_sentences
from fsynth.report.blocks import Options

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
    assert len(found.columns) <= captions.MOST_BINS
    notes = [column.note.removesuffix(" rows").split(": ") for column in found.columns]
    shown = sum(int(rows.replace(",", "")) for _, rows in notes)
    beyond = found.x_title.removeprefix("x").removeprefix("; ").split(" longer")[0]
    assert shown + int(beyond.replace(",", "") or 0) == sum(counts.values())
    assert max(column.share for column in found.columns) == 1
    if limited:
        first_beyond = int(notes[found.limit[0] + 1][0].split(" ")[0])
        assert 78 <= first_beyond < 78 + -(-601 // captions.MOST_BINS)


def test_one_endless_sentence_does_not_press_the_others_into_one_bar():
    counts = {str(number): 20 for number in range(5, 20)} | {"90": 2, "6000": 1}
    found = data_sentences.histogram("t", "words", counts, (77, "limit 77"))
    assert found.x_title == "words; 1 longer than 101 left out"
    assert sum(column.share > 0 for column in found.columns) > 7
    whole = data_sentences.histogram("t", "words", {"4": 9, "30": 1, "90": 9}, (77, "limit 77"))
    assert whole.x_title == "words" and whole.columns[-1].note.endswith("9 rows")


@given(st.integers(1, 10**6), st.integers(1, 10**4))
def test_labels_of_a_histogram_have_room_on_a_phone(first, span):
    found = data_sentences.histogram("t", "x", {str(first): 9, str(first + span): 9})
    labels = [column.label for column in found.columns if column.label]
    assert 0 < len(labels) <= 12 and len("".join(labels)) <= data_sentences.DIGITS


def test_the_plot_of_lengths_has_whole_numbers_under_it_and_says_what_it_leaves_out():
    few, long = captions.bins({5: 3, 6: 2, 7: 1}), captions.bins({5: 30, 6: 20, 900: 1})
    for axes, left_out in zip(plots.histograms({"a": few, "b": long}, {}).axes, (0, 1), strict=True):
        assert all(tick == int(tick) for tick in axes.get_xticks())
        assert axes.get_xlim()[1] < 20 and ("1 longer than" in axes.get_xlabel()) == left_out


def test_a_plot_has_as_many_columns_as_panels():
    widths = [
        plots.label_bars({str(panel): {"a": 1} for panel in range(panels)}, None, "t").get_figwidth()
        for panels in (1, 2, 3, 4)
    ]
    assert widths == [5, 10, 15, 15]


def test_compared_labels_that_are_left_out_are_counted(tmp_path):
    many = {f"label {place}": {"train": 20 - place, "test": 2} for place in range(13)}
    labels = {column: {"one": {"train": 3, "test": 1}} for column in ("category", "sleeve", "gender")}
    labels["color"] = many
    same = {column: {"distance": 0.1, "chance": 0.2} for column in labels}
    record = {"sentences": {}, "labels": labels, "differences": same, "rows": {"train": 3, "test": 1}}
    (tmp_path / "report.json").write_text(json.dumps(record))
    (compared,) = data_labels.division(tmp_path, Options()).blocks
    assert [title for title, *_ in compared.panels][:2] == ["Category", "Colour (5 rarer left out)"]


def test_the_range_of_lengths_names_their_median():
    assert data_sentences._range({"4": 1, "7": 1, "20": 3}) == "4 to 20, median 20"
    assert data_sentences._range({"4": 2, "7": 1, "20": 1}) == "4 to 20, median 4"
