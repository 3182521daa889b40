"""What sentences are made of: their words, how long they are, how they are built, how often they repeat.

Pure. Sentences come as a count of each distinct one, since the benchmark's 78,979 rows share 4,004.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from fsynth.data import attributes

Sentences = Mapping[str, int]
"""Sentence -> rows that have it."""

_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_TOUCHING = re.compile(r"\s*-\s*")  # "short - sleeved"
_PAUSE = re.compile(r"[.;:!?]")

PERSON, COLOR, SLEEVE, ITEM = SLOTS = ("PERSON", "COLOUR", "SLEEVE", "ITEM")
"""What a frame says in place of a person, a colour, a length of sleeves and a garment."""
_SLOT_OF = {
    "gender": PERSON,
    "color": COLOR,
    "othercolor": COLOR,
    "sleeve": SLEEVE,
    "sleeveless": SLEEVE,
    "category": ITEM,
}
_NAMED = (10, 50, 100)
"""Repetition is told of this many sentences."""
MOST_BINS = 80
_USUAL, _STRETCH, _BEYOND_LIMIT = 0.95, 2, 1.3


def words(sentence: str) -> list[str]:
    """Its words in lower case; a hyphen or an apostrophe inside a word is part of it.

    >>> words("The lady, in a short - sleeved tee.")
    ['the', 'lady', 'in', 'a', 'short-sleeved', 'tee']
    """
    return _WORD.findall(_TOUCHING.sub("-", sentence.lower()))


def word_counts(sentences: Sentences) -> Counter[str]:
    """How often each word occurs in all rows."""
    return _weighted(sentences, words)


def bigram_counts(sentences: Sentences) -> Counter[str]:
    """How often each pair of neighbouring words occurs; none reaches over the end of a sentence."""
    return _weighted(sentences, _bigrams)


def frame(sentence: str) -> str:
    """The sentence with `SLOTS` in place of what differs from row to row.

    ``an`` counts as ``a``: the colour decides which of them stands. Two equal slots in a row are one.

    >>> frame("the lady wore an orange long-sleeved tank top.")
    'the PERSON wore a COLOUR SLEEVE ITEM'
    """
    parts = [part for word in words(sentence) for part in _parts(word)]
    filled = [
        SLEEVE if kind == "length" and after == SLEEVE else text
        for (text, kind), (after, _) in pairwise([*parts, ("", "")])
    ]
    return " ".join(text for slot, same in groupby(filled) for text in ((slot,) if slot in SLOTS else same))


def frame_counts(sentences: Sentences) -> Counter[str]:
    """Rows of each `frame`."""
    return _weighted(sentences, lambda sentence: (frame(sentence),))


def length_counts(sentences: Sentences, lengths: Callable[[Sequence[str]], Sequence[int]]) -> dict[int, int]:
    """Length -> rows, shortest first.

    Args:
        lengths: of sentences, in their order.
    """
    found: Counter[int] = Counter()
    for length, rows in zip(lengths(list(sentences)), sentences.values(), strict=True):
        found[length] += rows
    return dict(sorted(found.items()))


def lengths_in_words(sentences: Sequence[str]) -> list[int]:
    return [len(words(sentence)) for sentence in sentences]


@dataclass(frozen=True)
class Bins:
    """``rows`` of each ``width`` numbers from ``first`` on; ``beyond``: rows of larger numbers."""

    first: int
    width: int
    rows: tuple[int, ...]
    beyond: int

    @property
    def starts(self) -> range:
        """The first number of every bin."""
        return range(self.first, self.first + self.width * len(self.rows), self.width)

    @property
    def left_out(self) -> str:
        """What an axis says of the rows beyond it; empty for none."""
        return f"{self.beyond:,} longer than {self.starts.stop - 1:,} left out" if self.beyond else ""


def bins(counts: Mapping[int, int], limit: int | None = None) -> Bins:
    """Lengths for a histogram, at most `MOST_BINS`. A few sentences much longer than the rest are beyond its
    axis: they would press all others into one bar.

    Args:
        counts: of `length_counts`.
        limit: a length to be seen, with room behind it; the axis then starts at 0.
    """
    first = min(counts) if limit is None else 0
    last = _last_shown(counts) if limit is None else max(limit + 1, _last_shown(counts, limit))
    width = -(-(last - first + 1) // MOST_BINS)
    rows = [0] * -(-(last - first + 1) // width)
    beyond = 0
    for length, count in counts.items():
        place = (length - first) // width
        if place < len(rows):
            rows[place] += count
        else:
            beyond += count
    return Bins(first, width, tuple(rows), beyond)


def _last_shown(counts: Mapping[int, int], limit: int = 0) -> int:
    """The longest, or a few times what nearly all stay below."""
    usual = max(1, int(_USUAL * sum(counts.values())))
    lengths = sorted(counts)
    passed = accumulate(counts[length] for length in lengths)
    reached = next(length for length, rows in zip(lengths, passed, strict=True) if rows >= usual)
    return min(lengths[-1], max(_STRETCH * reached, int(_BEYOND_LIMIT * limit)))


def repetition(sentences: Sentences) -> dict[str, int]:
    """``rows``, ``distinct`` sentences, ``once``: those of one row only, and ``top_N``: rows that have one of
    the N most frequent, for 10, 50 and 100."""
    counts = sorted(sentences.values(), reverse=True)
    found = {"rows": sum(counts), "distinct": len(counts), "once": counts.count(1)}
    return found | {f"top_{most}": sum(counts[:most]) for most in _NAMED}


def most_common(counts: Mapping[str, int], most: int) -> list[tuple[str, int]]:
    """The most frequent, equal ones by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]


def _weighted(sentences: Sentences, parts: Callable[[str], Sequence[str]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for sentence, rows in sentences.items():
        for part in parts(sentence):
            found[part] += rows
    return found


def _bigrams(sentence: str) -> list[str]:
    parts = _PAUSE.split(sentence)
    return [" ".join(pair) for part in parts for pair in pairwise(words(part))]


def _parts(word: str) -> Iterator[tuple[str, str]]:
    """The word, or the slots that stand for it, each with its kind."""
    kinds = [kind for kind, _ in attributes.kinds_of(word)] if word.isascii() else [""]
    slots = dict.fromkeys(_SLOT_OF[kind] for kind in kinds if kind in _SLOT_OF)
    if slots:
        yield from ((slot, slot) for slot in slots)
    else:
        yield "a" if word == "an" else word, kinds[0]
