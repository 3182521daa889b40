"""The label word an unknown word was meant to be, as far as its place in the sentence allows.

Distance: optimal string alignment, which counts a swap of neighbouring letters as one slip, like an insert,
a delete or a replace (Damerau 1964).
"""

from __future__ import annotations

import functools

from rapidfuzz.distance import OSA

from fsynth.data.lexicon import KINDS, ORDINARY

SURE, LIKELY, WEAK = 2, 1, 0
"""How strongly a word's place asks for a label word."""

_BY_FREQUENCY = {
    "category": "dress tee blouse tank cardigan sweater top jacket romper blazer hoodie jumpsuit kimono coat"
    " henley poncho parka jersey bomber dresses tees blouses tanks cardigans sweaters tops jackets rompers"
    " coats hoodies",
    "color": "multicolor multicolored white black gray blue pink red green beige purple yellow brown orange"
    " khaki silver olive blonde grey",
    "length": "long short",
    "sleeve": "sleeve sleeved sleeves",
    "sleeveless": "sleeveless",
    "gender": "lady man woman girl women boy men gentleman",
    "term": "letters letter alphabet flowers flower floral stripes striped stripe denim plaid leather"
    " chiffon",
}
"""What can be misspelt, most frequent first: of two words equally near, the first is meant."""


@functools.lru_cache(maxsize=65536)
def meant(word: str, kind: str, place: int) -> tuple[int, str] | None:
    """What an unknown word was meant to say.

    Args:
        word: lower-case letters.
        kind: ``category``, ``color``, ``length``, ``sleeve``, ``sleeveless``, ``gender`` or ``term``.
        place: `SURE`, `LIKELY` or `WEAK`.

    Returns:
        (number of slips, meaning), or None where no word of the kind is near enough.
    """
    found = None
    for target in _BY_FREQUENCY[kind].split():
        slips = OSA.distance(word, target, score_cutoff=2)
        if (found is None or slips < found[0]) and _is_slip(word, target, slips, place):
            found = (slips, KINDS[target][1])
    return found


def _is_slip(word: str, target: str, slips: int, place: int) -> bool:
    if slips > 2:
        return False
    if word in ORDINARY and not (place == SURE and slips == 1 and _letter_lost(word, target)):
        return False
    if place == WEAK:
        return slips == 1 and min(len(word), len(target)) >= 5
    same_ends = (word[0], word[-1]) == (target[0], target[-1])
    return slips == 1 or (len(KINDS[target][1]) >= 7 and same_ends)


def _letter_lost(word: str, target: str) -> bool:
    """'louse' for 'blouse': in a garment's place the benchmark means the garment."""
    return len(target) >= 5 and len(word) < len(target)


def nearest(word: str, targets: tuple[str, ...], most: int) -> str | None:
    """The target at most this many slips from the word; None where there is none."""
    slips, target = min((OSA.distance(word, target), target) for target in targets)
    return target if slips <= most else None
