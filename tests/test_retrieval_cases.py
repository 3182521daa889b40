"""Cases: the right queries of each kind, and their first answers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fsynth import retrieval_cases
from fsynth.retrieval_cases import Answer

ranks_and_groups = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=40)


@given(ranks_and_groups, st.integers(1, 4))
def test_no_query_is_shown_twice_and_the_best_and_worst_are_who_they_are(queries, each):
    ranks, groups = (torch.tensor(column) for column in zip(*queries, strict=True))
    chosen = retrieval_cases.choose(ranks.double(), groups, each)
    assert chosen == retrieval_cases.choose(ranks.double(), groups, each)
    shown = [query for kind in chosen.values() for query in kind]
    assert len(shown) == len(set(shown))
    assert len(shown) == min(len(queries), 3 * max(1, min(each, len(queries) // 3)))
    assert ranks[chosen["best"][0]] == ranks.min()
    if len(queries) > each:
        others = [query for query in range(len(queries)) if query not in chosen["best"]]
        assert ranks[chosen["worst"][0]] == ranks[others].max()


def test_worst_cases_are_of_different_groups_where_some_are_near():
    ranks = torch.tensor([9.0, 9.0, 9.0, 8.0, 1.0, 1.0, 1.0, 2.0, 3.0, 4.0])
    groups = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 2, 3])
    chosen = retrieval_cases.choose(ranks, groups, 2)
    assert chosen["worst"][0] in (0, 1, 2) and chosen["worst"][1] == 3
    far = torch.cat([torch.zeros(50, dtype=torch.int64), groups[3:]])
    chosen = retrieval_cases.choose(torch.cat([torch.full((50,), 9.0), ranks[3:]]), far, 2)
    assert max(chosen["worst"]) < 50


def test_equal_ranks_are_drawn_by_lot_not_taken_from_the_start():
    chosen = retrieval_cases.choose(torch.ones(1000), torch.arange(1000), 5)
    assert max(chosen["best"]) > 100 and max(chosen["worst"]) > 100


def test_the_first_answers_come_by_similarity_with_the_truth_beside_them():
    answers = torch.nn.functional.normalize(
        torch.tensor([[10.0 - place, place] for place in range(8)]), dim=1
    )
    query = torch.tensor([[1.0, 0.0]])
    right = torch.zeros(1, 8, dtype=torch.bool)
    right[0, 6] = True
    (found,) = retrieval_cases.answer(query, answers, right)
    assert [one.place for one in found.first] == [0, 1, 2, 3, 4]
    assert not any(one.right for one in found.first)
    assert found.truth == Answer(6, pytest.approx(4 / (4**2 + 6**2) ** 0.5), True)
    right[0, 3] = True
    (found,) = retrieval_cases.answer(query, answers, right)
    assert [one.right for one in found.first] == [False, False, False, True, False] and found.truth is None


def test_answers_that_are_alike_keep_their_order():
    (found,) = retrieval_cases.answer(
        torch.tensor([[0.6, 0.8]]), torch.tensor([[0.6, 0.8]] * 9), torch.ones(1, 9, dtype=torch.bool)
    )
    assert [one.place for one in found.first] == [0, 1, 2, 3, 4]


def test_fewer_answers_than_are_shown_are_all_shown():
    (found,) = retrieval_cases.answer(torch.eye(2)[:1], torch.eye(2), torch.tensor([[False, True]]))
    assert [one.right for one in found.first] == [False, True] and found.truth is None
