"""Counts, pairs, splits and examples of labels: against slow counting, and what chance would give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsynth.data import overview, sources, splits
from fsynth.data.overview import TERM, Rows
from tests.data import make_sources

line = st.tuples(
    st.sampled_from(["train", "test"]),
    st.sampled_from(["dress", "tee", "unknown"]),
    st.sampled_from(["red", "blue"]),
    st.sets(st.sampled_from(["letters", "flowers", "lace"])),
)
some_rows = st.lists(line, min_size=1, max_size=40)


def rows_of(lines) -> Rows:
    labels = {
        "category": [(category,) for _, category, _, _ in lines],
        "color": [(color,) for _, _, color, _ in lines],
        TERM: [tuple(sorted(terms)) for *_, terms in lines],
    }
    count = len(lines)
    names = [f"{row}.jpg" for row in range(count)]
    return Rows(list(range(count)), [split for split, *_ in lines], names, ["a tee."] * count, labels)


@given(some_rows)
def test_every_label_is_counted_once_a_row_and_split(lines):
    counts = overview.label_counts(rows_of(lines))
    for label, found in counts["category"].items():
        assert found == {
            split: sum(line[:2] == (split, label) for line in lines) for split in rows_of(lines).splits
        }
    for label, found in counts[TERM].items():
        assert sum(found.values()) == sum(label in terms for *_, terms in lines) > 0
    for column in counts.values():
        totals = [sum(found.values()) for found in column.values()]
        assert totals == sorted(totals, reverse=True)


@given(some_rows, st.sampled_from([("category", "color"), ("category", TERM), (TERM, TERM)]))
def test_pairs_are_rows_that_have_both(lines, columns):
    rows = rows_of(lines)
    table = overview.together(rows, *columns)
    for a, total, counts in zip(table["rows"], table["row_totals"], table["counts"], strict=True):
        has_a = [a in names for names in rows.labels[columns[0]]]
        assert total == sum(has_a)
        for b, count in zip(table["columns"], counts, strict=True):
            assert count == sum(
                had and b in names for had, names in zip(has_a, rows.labels[columns[1]], strict=True)
            )
    assert table["of"] == len(lines)


def test_only_sure_pairs_are_called_strong():
    often = [("train", "tee", "red", {"letters"})] * 60 + [("train", "tee", "blue", set())] * 20
    other = [("train", "dress", "blue", {"flowers"})] * 60 + [("train", "dress", "red", set())] * 20
    table = overview.together(rows_of(often + other), "category", TERM)
    found = overview.strongest(table, 10)
    assert [pair["labels"] for pair in found] == [["dress", "flowers"], ["tee", "letters"]]
    assert found[0] == {"labels": ["dress", "flowers"], "count": 60, "expected": 30.0, "lift": 2.0}
    few = overview.together(rows_of([often[0], other[0]]), "category", TERM)
    assert overview.strongest(few, 10) == []
    with_itself = overview.together(rows_of(often + other), TERM, TERM)
    assert overview.strongest(with_itself, 10) == []


def test_labels_that_are_independent_have_no_strong_pairs():
    draw = np.random.default_rng(0)
    lines = [
        ("train", str(draw.choice(["dress", "tee"])), str(draw.choice(["red", "blue"])), set())
        for _ in range(4000)
    ]
    assert overview.strongest(overview.together(rows_of(lines), "category", "color"), 10) == []


def test_the_difference_of_splits_is_the_share_that_would_have_to_change():
    counts = {"tee": {"train": 60, "test": 10}, "dress": {"train": 40, "test": 30}}
    found = overview.split_difference(counts, "train", "test")
    assert found["distance"] == pytest.approx(0.6 - 0.25)
    assert found["chance"] < 0.25 < found["distance"]
    same = {"tee": {"train": 600, "test": 60}, "dress": {"train": 400, "test": 40}}
    assert overview.split_difference(same, "train", "test")["distance"] == 0
    assert overview.split_difference(counts, "train", "test") == found


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_a_random_split_is_seldom_called_different(seed):
    """5 % of them may be: far less than half of any twenty are."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 5, 400)
    different = 0
    for _ in range(20):
        test = np.zeros(400, bool)
        test[draw.permutation(400)[:80]] = True
        counts = {
            str(label): {
                "train": int(((labels == label) & ~test).sum()),
                "test": int(((labels == label) & test).sum()),
            }
            for label in range(5)
        }
        found = overview.split_difference(counts, "train", "test")
        different += found["distance"] > found["chance"]
    assert different <= 7


def test_examples_show_each_category_in_its_colours():
    lines = [("train", "dress", color, set()) for color in ["red"] * 3 + ["blue"] * 2]
    lines += [("test", "tee", "red", set()), ("train", "unknown", "red", set())]
    rows = rows_of(lines)
    found = overview.examples(rows, set(range(7)), categories=2, each=4)
    assert [(one["category"], one["count"]) for one in found] == [("dress", 5), ("tee", 1)]
    assert [one["color"] for one in found[0]["shown"]] == ["red", "blue", "red", "blue"]
    assert len({one["row"] for one in found[0]["shown"]}) == 4
    assert found == overview.examples(rows, set(range(7)), categories=2, each=4)
    (only,) = overview.examples(rows, {0, 6}, categories=2, each=4)
    assert only["shown"] == [{"row": 0, "color": "red"}] and only["count"] == 5
    (nameless,) = overview.examples(rows, {6}, categories=2, each=4)
    assert nameless["category"] == "unknown"


def test_repeated_pictures_on_both_sides_come_first_and_their_sides_take_turns():
    rows = rows_of([(split, "tee", "red", set()) for split in ["train"] * 6 + ["test"] * 3])
    ordered, across = overview.worst_first(rows, [[0, 1], [2, 3, 4, 7], [5, 8], [6]])
    assert ordered == [[2, 7, 3, 4], [5, 8], [0, 1], [6]] and across == 2


def test_repeated_pictures_of_validation_are_not_counted_as_in_train_and_test():
    sides = ["train"] * 3 + ["validation"] * 2 + ["test"] * 2
    rows = rows_of([(side, "tee", "red", set()) for side in sides])
    ordered, across = overview.worst_first(rows, [[0, 1], [3, 5], [4, 2], [1, 6, 4]])
    assert ordered == [[1, 4, 6], [3, 5], [2, 4], [0, 1]] and across == 1


def test_rows_of_a_source_come_in_the_order_of_their_numbers(tmp_path):
    folder = make_sources.jsonl(tmp_path, make_sources.records())
    make_sources.pictures(folder, make_sources.NAMES)
    source = sources.open_source(folder)
    rows = overview.rows_of(source)
    assert rows.number == list(range(4)) and rows.name == make_sources.NAMES
    assert rows.text == make_sources.TEXTS and sorted(rows.split) == ["test", "train", "train", "train"]
    assert rows.splits == [splits.TRAIN, splits.TEST]
    assert rows.labels["category"] == [("dress",), ("tee",), ("unknown",), ("blouse",)]
    assert rows.labels["gender"][2] == ("unknown",) and rows.labels["color"][0] == ("red",)
