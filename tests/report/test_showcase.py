"""Which pictures a data report shows: few, of every kind."""

from __future__ import annotations

from fsynth.data.overview import Rows
from fsynth.report import showcase


def _rows(count: int) -> Rows:
    labels = {"category": [(f"c{row % 12}",) for row in range(count)], "color": [("red",)] * count}
    split = ["test" if row % 5 == 0 else "train" for row in range(count)]
    names = [f"{row}.jpg" for row in range(count)]
    return Rows(list(range(count)), split, names, [f"sentence {row}" for row in range(count)], labels)


def test_no_more_than_64_are_chosen_and_duplicates_of_both_kinds_among_them():
    groups = {"exact": [[row, row + 1] for row in range(0, 200, 2)], "near": [list(range(200, 300))]}
    shown = showcase.choose(_rows(400), range(400), groups)
    assert len(shown["examples"]) == 10 and all(len(one["shown"]) == 4 for one in shown["examples"])
    assert sum(len(one["shown"]) for one in shown["duplicates"]) == 24
    assert len(showcase.rows_of(shown)) <= 64
    (near,) = (one for one in shown["duplicates"] if one["kind"] == "near")
    assert near["size"] == 100 and {one["split"] for one in near["shown"]} == {"train", "test"}
    first = shown["examples"][0]["shown"][0]
    assert first["text"] == f"sentence {first['row']}"


def test_pictures_that_cannot_be_read_are_no_examples():
    shown = showcase.choose(_rows(40), [1, 2, 3], {})
    assert sorted(showcase.rows_of(shown)) == [1, 2, 3] and not shown["duplicates"]
