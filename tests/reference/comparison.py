"""The bootstrap of a comparison the slow, obvious way: lists of queries, one resample at a time."""

from __future__ import annotations

from collections.abc import Sequence


def difference(
    before: tuple[Sequence[float], Sequence[float]],
    after: tuple[Sequence[float], Sequence[float]],
    groups: Sequence[int],
    drawn: Sequence[int],
) -> float:
    """Mean group recall after less before, over the captions drawn, each with its own and its rows' queries.

    ``before`` and ``after``: recall of every caption's query, and of every row's.
    """
    return _headline(after, groups, drawn) - _headline(before, groups, drawn)


def _headline(
    recalls: tuple[Sequence[float], Sequence[float]], groups: Sequence[int], drawn: Sequence[int]
) -> float:
    of_captions, of_rows = recalls
    texts = [of_captions[caption] for caption in drawn]
    pictures = [of_rows[row] for caption in drawn for row in range(len(groups)) if groups[row] == caption]
    return (sum(texts) / len(texts) + sum(pictures) / len(pictures)) / 2
