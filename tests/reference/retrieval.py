"""Retrieval ranks the slow, obvious way: one query at a time over the full list of answers."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from math import comb


def place(levels: list[float], right: set[int]) -> tuple[int, int, int]:
    """(better, tied, right among tied) of the best right answer in one list of similarities."""
    best = max(levels[index] for index in right)
    tied = [index for index, level in enumerate(levels) if level == best]
    return sum(level > best for level in levels), len(tied), len(right.intersection(tied))


def recall(levels: list[float], right: set[int], k: int) -> Fraction:
    """Probability of a hit in the first k when tied answers come in random order, by counting draws."""
    better, tied, good = place(levels, right)
    draws = min(max(k - better, 0), tied)
    return 1 - Fraction(comb(tied - good, draws), comb(tied, draws))


def rank(levels: list[float], right: set[int]) -> Fraction:
    """Expected rank of the first right answer, averaged over the orders of all tied answers."""
    better, tied, good = place(levels, right)
    total = count = 0
    for order in permutations(range(tied)):
        total += better + 1 + min(order.index(item) for item in range(good))
        count += 1
    return Fraction(total, count)


def queries(images: list, captions: list, groups: list[int], protocol: str, direction: str) -> list[tuple]:
    """(similarities to all answers, indices of the right ones) of every query, from the full matrix."""
    dot = [[float(sum(x * y for x, y in zip(i, c, strict=True))) for c in captions] for i in images]
    rows = range(len(images))
    if protocol == "pair" and direction == "text_to_image":
        return [([dot[j][groups[i]] for j in rows], {i}) for i in rows]
    if protocol == "pair":
        return [([dot[i][groups[j]] for j in rows], {i}) for i in rows]
    if direction == "text_to_image":
        return [
            ([dot[j][c] for j in rows], {j for j in rows if groups[j] == c}) for c in range(len(captions))
        ]
    return [(dot[i], {groups[i]}) for i in rows]
