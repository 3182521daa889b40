"""The bootstrap of a comparison the slow, obvious way: lists of queries, one resample at a time."""

from __future__ import annotations

from collections.abc import Sequence


def difference(
    before: tuple[Sequence[float], Sequence[float]],
    after: tuple[Sequence[float], Sequence[float]],
    of: tuple[Sequence[int], Sequence[int]],
    drawn: Sequence[int],
) -> float:
    """Mean recall after less before, over the groups drawn, each with all its queries of both directions.

    Args:
        before, after: recall of every query, of each direction.
        of: the group of every query, of each direction.
    """
    return _headline(after, of, drawn) - _headline(before, of, drawn)


def _headline(
    recalls: tuple[Sequence[float], Sequence[float]],
    of: tuple[Sequence[int], Sequence[int]],
    drawn: Sequence[int],
) -> float:
    means = []
    for values, groups in zip(recalls, of, strict=True):
        found = [value for group in drawn for value, own in zip(values, groups, strict=True) if own == group]
        means.append(sum(found) / len(found))
    return sum(means) / len(means)
