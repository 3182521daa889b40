"""Retrieval the slow, obvious way: one query at a time, over every order that tied answers may come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, permutations, product

Hits = Sequence[bool]
"""Whether each answer is right, from the first on."""


def expected(levels: Sequence[float], right: set[int], score: Callable[..., float], *more: int) -> float:
    """The mean of a score over all orders of the answers that similarities allow."""
    found = [score([answer in right for answer in order], *more) for order in orders(levels)]
    return sum(found) / len(found)


def orders(levels: Sequence[float]) -> Iterator[list[int]]:
    """Every order of the answers in which similarities fall."""
    falling = sorted(range(len(levels)), key=lambda answer: -levels[answer])
    ties = [list(tied) for _, tied in groupby(falling, key=lambda answer: levels[answer])]
    for parts in product(*(permutations(tied) for tied in ties)):
        yield [answer for part in parts for answer in part]


def rank(hits: Hits) -> float:
    return hits.index(True) + 1


def reciprocal_rank(hits: Hits) -> float:
    return 1 / rank(hits)


def hit(hits: Hits, k: int) -> float:
    return float(any(hits[:k]))


def true_recall(hits: Hits, k: int) -> float:
    return sum(hits[:k]) / sum(hits)


def average_precision(hits: Hits) -> float:
    places = [place for place, found in enumerate(hits, 1) if found]
    return sum(number / place for number, place in enumerate(places, 1)) / len(places)


def queries(
    level: Sequence[Sequence[float]],
    sentence: Sequence[int],
    group: Sequence[int],
    protocol: str,
    direction: str,
) -> list[tuple[list[float], set[int]]]:
    """(similarities to all answers, which are right) of every query.

    Args:
        level: of each picture to each distinct sentence.
        sentence: of each picture.
        group: of each sentence.
    """
    rows, captions = range(len(level)), range(len(group))
    if protocol == "pair" and direction == "text_to_image":
        return [([level[other][sentence[row]] for other in rows], {row}) for row in rows]
    if protocol == "pair":
        return [([level[row][sentence[other]] for other in rows], {row}) for row in rows]
    same = group if protocol == "group" else captions
    if direction == "text_to_image":
        return [
            ([level[row][asked] for row in rows], {row for row in rows if same[sentence[row]] == same[asked]})
            for asked in captions
        ]
    return [
        (list(level[row]), {caption for caption in captions if same[caption] == same[sentence[row]]})
        for row in rows
    ]
