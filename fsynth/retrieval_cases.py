"""Which queries to look at: those that a model answers best, worst, and some drawn by lot.

Pure tensor functions. The ranks are those of the scores (`fsynth.retrieval.Places.ranks`), so that pictures
and numbers are about the same answers; similarities are computed again for the few queries that are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from fsynth.keyed import seed_of

Kind = Literal["best", "worst", "random"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FIRST = 5
"""Answers that are shown of a query."""
_LOOK_AHEAD = 4
"""Times as many queries as are wanted may be looked at to find some of different groups."""


@dataclass(frozen=True)
class Answer:
    """``place`` among the answers; ``similarity`` is the cosine, ``right`` whether it answers the query."""

    place: int
    similarity: float
    right: bool


@dataclass(frozen=True)
class Answers:
    """The first answers to a query, the most similar first; ``truth`` is the most similar right one where
    it is not among them."""

    first: tuple[Answer, ...]
    truth: Answer | None


def choose(ranks: Tensor, groups: Tensor, each: int) -> dict[Kind, list[int]]:
    """Queries of each kind, none twice.

    Equal ranks are in an order drawn by lot, the same every time. The best and the worst are of different
    caption groups if that takes few steps down the list: else all of the worst may be pictures of one
    sentence.

    Args:
        ranks: (Q,) expected rank of the first right answer to each query, from 1.
        groups: (Q,) the caption group of each query.
        each: of a kind, at most; fewer where there are not enough queries for all kinds.
    """
    lot = _lot(len(ranks))
    each = max(1, min(each, len(ranks) // len(KINDS)))
    best = lot[ranks[lot].argsort(stable=True)].tolist()
    worst = lot[ranks[lot].argsort(stable=True, descending=True)].tolist()
    chosen: dict[Kind, list[int]] = {"best": _varied(best, groups, each)}
    chosen["worst"] = _varied(_without(worst, chosen["best"]), groups, each)
    chosen["random"] = _without(lot.tolist(), chosen["best"] + chosen["worst"])[:each]
    return chosen


def _lot(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed_of("retrieval cases", count))
    return torch.randperm(count, generator=generator)


def _without(order: list[int], taken: list[int]) -> list[int]:
    return [query for query in order if query not in taken]


def _varied(order: list[int], groups: Tensor, each: int) -> list[int]:
    """The first of each group among the first few, then whoever comes next, in their order."""
    first: dict[int, int] = {}
    for query in order[: _LOOK_AHEAD * each]:
        first.setdefault(int(groups[query]), query)
    kept = list(first.values())[:each]
    kept += _without(order, kept)[: each - len(kept)]
    return sorted(kept, key=order.index)


def answer(queries: Tensor, answers: Tensor, right: Tensor) -> list[Answers]:
    """The first answers to some queries.

    Args:
        queries: (Q, D) features of unit length; few, since all similarities are held at once.
        answers: (A, D) features of unit length.
        right: (Q, A) bool, which answers are right; each query has one.
    """
    # summed in float64 and rounded once, as for the scores: equal features tie, and keep their order
    levels = (queries.double() @ answers.double().T).float()
    levels, order = levels.sort(descending=True, stable=True)
    return [
        _first(level.tolist(), places.tolist(), is_right[places].tolist())
        for level, places, is_right in zip(levels, order, right, strict=True)
    ]


def _first(levels: list[float], places: list[int], right: list[bool]) -> Answers:
    found = [Answer(*one) for one in zip(places[:FIRST], levels, right, strict=False)]
    if any(one.right for one in found):
        return Answers(tuple(found), None)
    at = right.index(True)
    return Answers(tuple(found), Answer(places[at], levels[at], True))
