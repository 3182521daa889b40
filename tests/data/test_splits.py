"""Which rows train, validate and test."""

from __future__ import annotations

import posixpath
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsynth.data import splits, stream_splits
from fsynth.errors import ConfigError, DataError
from fsynth.order import choose_rows


def _names(garments: list[int]) -> list[str]:
    """Rows in the order of a list: ``garments[i]`` pictures of garment i."""
    return [f"img/g{garment}/{number}.jpg" for garment, size in enumerate(garments) for number in range(size)]


def _sides(divided):
    return [part.tolist() for part in (divided.train, divided.validation, divided.test)]


@st.composite
def _sources(draw):
    names = _names(draw(st.lists(st.integers(1, 12), min_size=4, max_size=40)))
    test = draw(st.integers(0, len(names) - 3))
    rows = draw(st.permutations(range(len(names))))
    return names, {"train": sorted(rows[test:]), "test": sorted(rows[:test])}


@settings(deadline=None)
@given(_sources(), st.sampled_from(["official", "garment"]), st.sampled_from([0.0, 0.2]), st.integers(0, 5))
def test_sides_are_disjoint_complete_sorted_and_the_same_again(source, by, fraction, seed):
    names, official = source
    divided = splits.split(names, official, by, fraction, seed)
    sides = _sides(divided)
    assert sorted(row for side in sides for row in side) == list(range(len(names)))
    assert all(side == sorted(side) for side in sides)
    assert sides[0] and sides[2] and bool(sides[1]) == bool(fraction)
    again = splits.split(names, official, by, fraction, seed)
    assert _sides(again) == sides and again.fingerprint() == divided.fingerprint()
    if by == "garment":
        folders = [{posixpath.dirname(names[row]) for row in side} for side in sides]
        assert not (folders[0] & folders[1] or folders[0] & folders[2] or folders[1] & folders[2])
    elif official["test"]:
        assert sides[2] == official["test"] and set(sides[0]) | set(sides[1]) == set(official["train"])


def test_sides_of_whole_garments_have_nearly_the_official_sizes():
    names = _names([1 + number % 17 for number in range(400)])
    official = {"test": range(0, len(names), 9)}
    official["train"] = sorted(set(range(len(names))) - set(official["test"]))
    divided = splits.split(names, official, "garment", 0.1, 3)
    assert abs(len(divided.test) - len(official["test"])) <= 9
    assert abs(len(divided.validation) - round(0.1 * len(official["train"]))) <= 9


def test_another_seed_draws_other_rows():
    names = _names([1000])
    first, second = (splits.split(names, {}, seed=seed) for seed in (0, 1))
    assert 70 < len(first.test) < 130 and 70 < len(second.test) < 130
    assert len({*first.test.tolist()} & {*second.test.tolist()}) < 30
    assert first.how == (
        "the data bring no test rows; 0.1 of all test: each row's side by a hash of its name, seed 0"
    )


@pytest.mark.parametrize("official", [{}, {"train": range(500), "test": range(500, 600)}])
def test_all_sentences_of_a_picture_are_on_one_side(official):
    names = [f"img/{row % 100}.jpg" for row in range(500)] + [f"test/{row}.jpg" for row in range(100)]
    divided = splits.split(names, official, val_fraction=0.2)
    sides = [{names[row] for row in side} for side in _sides(divided)]
    assert all(sides) and not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


@pytest.mark.parametrize("by", ["official", "garment"])
def test_a_row_keeps_its_side_when_others_come_and_has_that_of_a_stream(by):
    names = _names([1 + number % 5 for number in range(300)])
    divided = splits.split(names, {}, by, 0.2, 1)
    sides, _ = stream_splits.divide({"train": ()}, by, 0.2, 1)
    assert divided.sides() == [next(side.name for side in sides if side.has(name)) for name in names]
    assert splits.split(names[::-2], {}, by, 0.2, 1).sides() == divided.sides()[::-2]
    brought = {"train": range(0, len(names), 2), "test": range(1, len(names), 2)}
    if by == "official":
        sides, _ = stream_splits.divide(brought, by, 0.2, 1)
        found = splits.split(names, brought, by, 0.2, 1).sides()[::2]
        assert found == [next(side.name for side in sides if side.has(name)) for name in names[::2]]


def test_a_few_pictures_are_divided_though_no_hash_falls_to_a_side():
    divided = splits.split(["a.jpg", "b.jpg"], {}, seed=0)
    assert (len(divided.train), len(divided.test)) == (1, 1)
    assert divided.how.endswith("; 0 of 2 hashes fall to test, 1 taken (a stream takes 0)")
    divided = splits.split([*"abcdef"], {}, val_fraction=0.9)
    assert all(_sides(divided))


def test_what_the_data_bring_is_kept_and_validation_rows_test_where_no_test_rows_are():
    names = _names([10])
    brought = {"train": [0, 2, 4, 6, 8], "validation": [1, 3], "test": [5, 7, 9]}
    assert _sides(splits.split(names, brought)) == list(brought.values())
    divided = splits.split(names, {"train": range(8), "validation": [9, 8]})
    assert _sides(divided) == [list(range(8)), [], [8, 9]]
    assert "validation rows test" in divided.how


def test_validation_rows_come_out_of_the_training_rows():
    names, official = _names([40]), {"train": range(10, 40), "test": range(10)}
    divided = splits.split(names, official, val_fraction=0.2)
    assert (len(divided.train), len(divided.validation), len(divided.test)) == (25, 5, 10)
    assert divided.describe().startswith("rows: 25 train, 5 validate, 10 test (")
    assert divided.describe().endswith(f"; fingerprint {divided.fingerprint()}")


def test_the_fingerprint_changes_with_rows_sides_and_names():
    names = _names([10])
    kinds = [
        splits.split(names, {"train": range(9), "test": [9]}),
        splits.split(names, {"train": range(1, 10), "test": [0]}),
        splits.split(names, {"train": range(8), "validation": [8], "test": [9]}),
        splits.split([*names[:9], "other.jpg"], {"train": range(9), "test": [9]}),
    ]
    prints = [kind.fingerprint() for kind in kinds]
    assert len(set(prints)) == 4 and all(len(one) == 12 and int(one, 16) >= 0 for one in prints)


@pytest.mark.parametrize(
    ("rows", "official", "options", "kind", "message"),
    [
        (
            [1],
            {},
            {},
            DataError,
            "1 row(s) of 1 picture(s) cannot be divided into training and test rows; add pictures",
        ),
        (
            [4],
            {},
            {"by": "g"},
            ConfigError,
            "--split-by 'g' is no way to divide rows; take official or garment",
        ),
        (
            [4],
            {},
            {"val_fraction": 2.0},
            ConfigError,
            "--val-fraction 2.0 is no share of the training rows; take 0 or more, less than 1",
        ),
        (
            [10],
            {},
            {"by": "garment"},
            ConfigError,
            "--split-by garment: the pictures lie in 1 folder(s), first 'img/g0', too few for 2 sides; "
            "use --split-by official",
        ),
        (
            [10],
            {"train": range(6), "validation": [6, 7], "test": [8, 9]},
            {"val_fraction": 0.1},
            ConfigError,
            "--val-fraction 0.1: the data bring 2 validation rows; leave it out",
        ),
        (
            [3],
            {"train": [0], "test": [1, 2]},
            {"val_fraction": 0.5},
            ConfigError,
            "--val-fraction 0.5 of 1 row(s) of 1 picture(s) leaves none to train on; leave it out",
        ),
    ],
)
def test_impossible_divisions_are_refused(rows, official, options, kind, message):
    with pytest.raises(kind) as error:
        splits.split(_names(rows), official, **options)
    assert str(error.value) == message


@settings(deadline=None)  # the first draw imports torch
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=200), st.data())
def test_a_stratified_draw_keeps_the_shares(labels, data):
    wanted = data.draw(st.integers(1, len(labels)))
    chosen = choose_rows(len(labels), wanted, 0, labels)
    assert len(set(chosen)) == wanted and chosen == sorted(chosen)
    drawn = Counter(labels[row] for row in chosen)
    for label, count in Counter(labels).items():
        assert abs(drawn[label] - wanted * count / len(labels)) < 1


def test_a_stratified_draw_is_seeded_and_differs_from_the_first_rows():
    labels = ["dress"] * 90 + [None] * 10
    first = choose_rows(100, 20, 0, labels)
    assert first == choose_rows(100, 20, 0, labels) != choose_rows(100, 20, 1, labels)
    assert sum(row >= 90 for row in first) == 2
    assert not np.array_equal(first[:18], range(18))


@pytest.mark.parametrize(
    ("names", "by", "validation"),
    [
        (_names([100]), "official", True),
        (_names([99]), "official", False),  # too little to choose by
        (_names([2]) * 100, "official", False),  # two pictures of many sentences
        (_names([5] * 20), "garment", True),
        (_names([50] * 2), "garment", False),  # two garments are on two sides
    ],
)
@pytest.mark.parametrize("tested", [False, True])
def test_what_validates_unasked_never_leaves_too_few_to_divide(names, by, validation, tested):
    rows = list(range(len(names)))
    if tested:  # as many rows again, of the same garments, which test
        names = [*names, *(name.replace("/", "/t", 2) if by == "official" else name for name in names)]
        official = {"train": rows, "test": range(len(rows), len(names))}
    divided = splits.split(names, official if tested else {}, by, None)
    assert bool(len(divided.validation)) == validation
    assert len(divided.train) and len(divided.test)
