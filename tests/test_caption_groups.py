"""One id for sentences that mean the same."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsynth import caption_groups

TEXTS = [
    "the lady wore a blue long-sleeved tee.",
    "The lady  wore a blue, long-sleeved tee",
    "a woman in a blue tee with long sleeves",
    "the man wore a blue long-sleeved tee.",
    "a blue sky",
    "a blue sea",
    "?!",
    "?",
]


def test_sentences_of_equal_attributes_are_one_group_those_without_a_garment_stand_alone():
    found = caption_groups.find(TEXTS)
    assert found.sentence.tolist() == [0, 0, 1, 2, 3, 4, 5, 6]
    assert found.row_groups.tolist() == [0, 0, 0, 1, 2, 3, 4, 5]
    assert found.sentences[:2] == (TEXTS[0], TEXTS[2])


def test_by_sentence_only_spelling_is_overlooked():
    found = caption_groups.find(TEXTS, "sentence")
    assert found.row_groups.tolist() == found.sentence.tolist() == [0, 0, 1, 2, 3, 4, 5, 6]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=30), st.sampled_from(["attributes", "sentence"]))
def test_groups_are_numbered_in_order_and_hold_whole_sentences(texts, by):
    found = caption_groups.find(texts, by)
    assert list(dict.fromkeys(found.row_groups.tolist())) == list(range(int(found.group.max()) + 1))
    assert len(found.group) == len(found.sentences) == len({*map(caption_groups.normalised, texts)})
    for one, other in itertools.combinations(range(len(texts)), 2):
        same = caption_groups.normalised(texts[one]) == caption_groups.normalised(texts[other])
        assert same == (found.sentence[one] == found.sentence[other])


def test_widths_and_case_are_spelling():
    assert caption_groups.normalised("Ａ ＲＥＤ—tee!") == "a red tee"


def test_expected_twins_and_floor_are_the_means_over_random_batches():
    sizes, batch = [5, 3, 1, 1], 4
    rows = [group for group, size in enumerate(sizes) for _ in range(size)]
    draws = list(itertools.combinations(rows, batch))
    alike = [drawn.count(group) for drawn in draws for group in drawn]
    twins, floor = caption_groups.expected_twins(sizes, batch)
    assert twins == pytest.approx(sum(n - 1 for n in alike) / len(alike))
    assert floor == pytest.approx(sum(math.log(n) for n in alike) / len(alike))
    assert caption_groups.expected_twins([1] * 9, 4) == (0, 0)


@pytest.mark.parametrize(
    ("distinct", "batch", "floor"), [(10_000, 256, 0.018), (10_000, 4096, 0.26), (2_000, 1024, 0.32)]
)
def test_floors_of_uniform_groups(distinct, batch, floor):
    """Large groups of one size; the figures were simulated once, apart from this code."""
    assert caption_groups.expected_twins([100] * distinct, batch)[1] == pytest.approx(floor, rel=0.04)


def test_what_is_said_names_the_largest_group():
    lines = caption_groups.describe(caption_groups.find(TEXTS), 4)
    assert lines[0] == (
        "pairs: 8 with 7 distinct sentences in 6 groups of equal attributes; the largest has 3 "
        "('the lady wore a blue long-sleeved tee.')"
    )
    assert lines[1].startswith("a random batch of 4: 0.3 twins a row are expected; the CLIP loss of")
