"""Findings from plain lists; with files around them: tests/commands/test_data_check.py."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fsynth.data import checks
from fsynth.data.labels import LABELS
from fsynth.errors import DataError

NAMES = ["img/Red_Dress/img_1.jpg", "img/Blue_Tee/img_2.jpg", "img/Red_Dress/img_3.jpg"]


def test_an_error_of_ours_becomes_text_and_advice():
    found = checks.fault("split", DataError("ind.mat: row 7; stands twice; use another"))
    assert (found.text, found.advice) == ("ind.mat: row 7; stands twice", "use another")
    assert checks.fault("split", DataError("no clause")).text == "no clause"


def test_a_long_sentence_is_named_by_its_beginning():
    texts = ["the lady wore a red dress. " * 60]
    codes = {"category": np.array([LABELS["category"].index("tee")])}
    (found,) = checks.sentences_against_codes(texts, codes, NAMES[:1])
    (example,) = found.examples
    assert "the lady wore a red dress." in example and "…'" in example and len(example) < 170


def test_sentences_over_the_encoders_length_are_named():
    texts = ["the lady wore a dress.", "a " * 76 + "a", "short but " + "x" * 100]
    found = list(checks.long_sentences(texts, NAMES, lambda texts: [len(text.split()) + 2 for text in texts]))
    (long,) = found
    assert long.level == "warning" and long.count == 1 and long.examples == ("row 2 img/Blue_Tee/img_2.jpg",)


def test_short_sentences_are_not_tokenised():
    def never(texts):
        raise AssertionError(texts)

    assert not list(checks.long_sentences(["the lady wore a dress."], NAMES, never))


def test_garments_on_both_sides_are_counted_by_test_row():
    (found,) = checks.shared_garments(NAMES, train=[0], test=[1, 2])
    assert found.level == "note" and found.count == 1
    assert not list(checks.shared_garments(NAMES, train=[1], test=[0, 2]))
    assert not list(checks.shared_garments(["1.jpg", "2.jpg"], train=[0], test=[1])), (
        "no folders, no garments"
    )


def test_pictures_that_could_not_be_compared_count_for_nothing():
    scanned = pa.table({"row": [0, 1, 2], "apart": [1.0, None, 30.0]})
    (found,) = checks.sources_differ(scanned, NAMES)
    assert found.level == "error" and found.count == 1 and "of 2 pictures" in found.text
    assert not list(checks.sources_differ(scanned.slice(1, 1), NAMES))


@pytest.mark.parametrize(
    "pair, kind, level, told",
    [
        ((0, 2), "exact", "error", ("train and test", "out of training")),
        ((0, 2), "near", "warning", ("train and test", "out of training")),
        ((0, 1), "exact", "warning", ("train and validation", "out of it")),
        ((1, 2), "exact", "warning", ("validation and test", "what validation chooses")),
    ],
)
def test_pictures_on_two_sides_are_named_by_these(pair, kind, level, told):
    sides = {"train": [0, 3, 5], "validation": [1], "test": [2]}
    (_, found) = checks.repeated_pictures({kind: [list(pair)]}, 1_000, list("abcdef"), sides)
    assert (found.level, found.count) == (level, 1)
    assert told[0] in found.text and told[1] in found.advice
    (same,) = checks.repeated_pictures({kind: [[3, 5]]}, 1_000, list("abcdef"), sides)
    assert same.check == f"{kind}-duplicates"


def test_a_picture_on_all_sides_is_found_on_each_two():
    sides = {"train": [0], "validation": [1], "test": [2]}
    found = list(checks.repeated_pictures({"exact": [[0, 1, 2]]}, 1_000, list("abc"), sides))
    assert [finding.level for finding in found] == ["warning", "error", "warning", "warning"]
