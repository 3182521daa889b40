"""The sentences of a data report: how long, how built, how often repeated."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsynth.data import captions
from fsynth.data.captions import SLOTS
from fsynth.report.blocks import (
    Block,
    Column,
    Fact,
    Histogram,
    Histograms,
    Options,
    Panel,
    Panels,
    Phrase,
    Ranking,
    Section,
    Words,
    percent,
)
from fsynth.report.data_labels import bars
from fsynth.report.data_overview import record_of

FRAMES, SENTENCES, WORDS = 12, 12, 20
MOST_LABELS, DIGITS = 12, 30
"""Labels under an axis, and digits of all together: what has room on a phone."""
LONG = 180
"""Letters of a sentence that are shown."""


def sentences(folder: Path, options: Options) -> Section | None:
    """Lengths, frames, words, and the sentences that stand most often."""
    record = record_of(folder)
    if record is None:
        return None
    found = record["sentences"]
    told = found["repetition"]
    blocks: list[Block] = [Histograms((_in_words(found), _in_tokens(found)))]
    blocks += [*_frames(found, told["rows"]), _repeated(found, told)]
    blocks.append(
        Panels(
            (
                _frequent("Words", found["frequent_words"], found["distinct_words"]),
                _frequent("Pairs of words", found["frequent_pairs"], found["distinct_pairs"]),
            ),
            "widest",
        )
    )
    lead = (
        f"{told['rows']:,} sentences, {told['distinct']:,} of them distinct, {told['once']:,} of one row "
        f"only; {found['distinct_words']:,} different words."
    )
    facts = (_cut_off(found),) if found["over_limit"] else ()
    return Section("Sentences", lead, tuple(blocks), facts)


def _frequent(title: str, counts: Sequence[tuple[str, int]], distinct: int) -> Panel:
    return bars(f"{title}, {min(WORDS, distinct):,} of {distinct:,}", counts[:WORDS])


def _cut_off(found: Mapping[str, Any]) -> Fact:
    note = f"of more than the {found['token_limit']} tokens that CLIP reads"
    return Fact("Sentences cut off", f"{found['over_limit']:,}", note, bad=True)


def histogram(
    title: str, x_title: str, counts: Mapping[str, int], limit: tuple[int, str] | None = None, lead: str = ""
) -> Histogram:
    """Rows by a whole number.

    Args:
        counts: number -> rows; numbers as text, as JSON has them.
        limit: the last number before a line, and what the line is called; the axis reaches beyond it.
    """
    numbers = {int(number): rows for number, rows in counts.items()}
    bins = captions.bins(numbers, limit[0] if limit else None)
    labels = min(MOST_LABELS, DIGITS // len(str(bins.starts[-1])))
    every = -(-len(bins.rows) // labels)
    columns = tuple(
        Column(
            str(start) if place % every == 0 else "",
            count / max(bins.rows),
            f"{start if bins.width == 1 else f'{start} to {start + bins.width - 1}'}: {count:,} rows",
        )
        for place, (start, count) in enumerate(zip(bins.starts, bins.rows, strict=True))
    )
    line = ((limit[0] - bins.first) // bins.width, limit[1]) if limit else None
    return Histogram(title, "; ".join(filter(None, (x_title, bins.left_out))), columns, lead, line)


def _in_words(found: Mapping[str, Any]) -> Histogram:
    return histogram("Words", "words in a sentence", found["words"], lead=_range(found["words"]))


def _in_tokens(found: Mapping[str, Any]) -> Histogram:
    limit = found["token_limit"]
    lead = _range(found["tokens"])
    title = "tokens of CLIP's vocabulary, start and end included"
    return histogram("Tokens", title, found["tokens"], (limit, f"limit {limit}"), lead)


def _range(counts: Mapping[str, int]) -> str:
    numbers = sorted((int(number), rows) for number, rows in counts.items())
    passed = itertools.accumulate(rows for _, rows in numbers)
    half = sum(counts.values()) / 2
    median = next(number for (number, _), so_far in zip(numbers, passed, strict=True) if so_far >= half)
    return f"{numbers[0][0]:,} to {numbers[-1][0]:,}, median {median:,}"


def _frames(found: Mapping[str, Any], rows: int) -> list[Block]:
    shown = [(text, count) for text, count in found["frames"][:FRAMES] if count > 1]
    if not shown:
        return [Words("No two sentences are built alike.")]
    lead = f"the first {len(shown)} of {found['distinct_frames']:,}: sentences without what differs by row."
    return [Ranking("Frames,", _phrases(shown, rows), SLOTS, lead)]


def _repeated(found: Mapping[str, Any], told: Mapping[str, int]) -> Block:
    rows = told["rows"]
    shares = (
        f"the ten most frequent stand in {percent(told['top_10'] / rows)} of all rows, the hundred most "
        f"frequent in {percent(told['top_100'] / rows)}."
    )
    shown = [(text, count) for text, count in found["most_repeated"][:SENTENCES] if count > 1]
    if not shown:
        return Words("No sentence stands in two rows.")
    return Ranking("Most repeated:", _phrases(shown, rows), lead=shares)


def _cut(text: str) -> str:
    return text if len(text) <= LONG else text[:LONG].rpartition(" ")[0] + " …"


def _phrases(counts: Sequence[tuple[str, int]], rows: int) -> tuple[Phrase, ...]:
    longest = counts[0][1]
    return tuple(
        Phrase(_cut(text), count / longest, f"{count:,}", percent(count / rows)) for text, count in counts
    )
