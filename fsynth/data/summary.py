"""All numbers about a data set as one record of plain dicts and lists: report.json of `fsynth data-report`.

=============  ==============================================================================================
data           ``data``, ``source`` and ``division`` (the lines every command prints), ``fingerprint``,
               ``drawn``, ``rows`` (split -> rows)
labels         ``labels`` (column -> label -> split -> rows), ``differences`` (column -> `split_difference`),
               ``together`` (`overview.together` tables, with their ``strongest`` pairs)
sentences      `of_sentences`
pictures       `of_pictures`; null where there are none
findings       ``verdict``, ``findings``, ``passed``: as `fsynth data-check` gives them
=============  ==============================================================================================
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fsynth.data import addresses, captions, checks, clip_tokens, overview, splits
from fsynth.data.labels import LABELS
from fsynth.data.overview import Rows

if TYPE_CHECKING:
    import pyarrow as pa

    from fsynth.data.inspection import Report
    from fsynth.data.sources import Source

NAME = "report.json"
_PAIRS = 12
_FRAMES, _SENTENCES, _WORDS = 50, 100, 200
_DUPLICATES, _OF_A_GROUP = 200, 20
"""Groups that are listed, and rows of each; all are counted."""


def summarize(source: Source, rows: Rows, report: Report) -> dict[str, Any]:
    """The whole record."""
    findings = checks.worst_first(report.findings)
    return {
        "data": addresses.shown(source.root),
        "source": source.describe.removeprefix("data: "),
        "division": source.rows.removeprefix("rows: "),
        "fingerprint": source.fingerprint,
        "drawn": source.drawn,
        "rows": {name: rows.split.count(name) for name in rows.splits},
        **of_labels(rows),
        "sentences": of_sentences(rows.text),
        "pictures": of_pictures(rows, report.scanned, report.groups),
        "verdict": checks.verdict(findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "passed": list(report.passed),
    }


def of_labels(rows: Rows) -> dict[str, Any]:
    """``labels``, ``differences`` between training and test rows, ``together``."""
    counts = overview.label_counts(rows)
    sides = splits.TRAIN, splits.TEST
    compared = LABELS if set(sides) <= set(rows.splits) else ()
    tables = [overview.together(rows, *columns) for columns in overview.TOGETHER]
    return {
        "labels": counts,
        "differences": {name: overview.split_difference(counts[name], *sides) for name in compared},
        "together": [table | {"strongest": overview.strongest(table, _PAIRS)} for table in tables],
    }


def of_sentences(texts: Sequence[str]) -> dict[str, Any]:
    """What the sentences are made of.

    Returns:
        ``repetition`` (`captions.repetition`); ``words`` and ``tokens``: length -> rows, tokens by CLIP's
        vocabulary with start and end; ``token_limit`` and ``over_limit``: rows beyond it; ``distinct_words``,
        ``distinct_pairs``, ``distinct_frames``: how many there are; ``most_repeated``, ``frames``,
        ``frequent_words``, ``frequent_pairs``: lists of (text, rows or times), the most frequent first.
    """
    sentences = Counter(texts)
    words, pairs = captions.word_counts(sentences), captions.bigram_counts(sentences)
    frames = captions.frame_counts(sentences)
    tokens = captions.length_counts(sentences, clip_tokens.counts)
    return {
        "repetition": captions.repetition(sentences),
        "words": captions.length_counts(sentences, captions.lengths_in_words),
        "tokens": tokens,
        "token_limit": clip_tokens.LIMIT,
        "over_limit": sum(rows for length, rows in tokens.items() if length > clip_tokens.LIMIT),
        "most_repeated": captions.most_common(sentences, _SENTENCES),
        "distinct_words": len(words),
        "distinct_pairs": len(pairs),
        "distinct_frames": len(frames),
        "frames": captions.most_common(frames, _FRAMES),
        "frequent_words": captions.most_common(words, _WORDS),
        "frequent_pairs": captions.most_common(pairs, _WORDS),
    }


def of_pictures(
    rows: Rows, scanned: pa.Table | None, groups: Mapping[str, Sequence[Sequence[int]]]
) -> dict[str, Any] | None:
    """What was read of the pictures.

    Returns:
        ``read`` and ``unreadable``: how many; ``sampled``: whether that is not all of them; ``sizes``: lists
        of width, height and pictures, the most frequent first; ``modes``: as stored -> pictures;
        ``duplicates``: exact and near, each with ``groups``, ``pictures``, ``across_splits`` (groups on both
        sides of the division) and ``rows`` (of the first groups, some); null for a sample.
    """
    if scanned is None:
        return None
    lines = zip(*(scanned[name].to_pylist() for name in ("width", "height", "mode")), strict=True)
    readable = [line for line in lines if line[0] is not None]
    sizes = Counter(line[:2] for line in readable)
    sampled = scanned.num_rows < len(rows)
    return {
        "read": scanned.num_rows,
        "unreadable": scanned.num_rows - len(readable),
        "sampled": sampled,
        "sizes": [[*size, count] for size, count in sorted(sizes.items(), key=lambda item: -item[1])],
        "modes": dict(Counter(line[2] for line in readable).most_common()),
        "duplicates": {kind: _duplicates(rows, found) for kind, found in groups.items()} if groups else None,
    }


def readable(scanned: pa.Table) -> list[int]:
    """Numbers of the rows whose picture was read."""
    from pyarrow import compute

    return scanned.filter(compute.is_null(scanned["error"]))["row"].to_pylist()


def _duplicates(rows: Rows, groups: Collection[Sequence[int]]) -> dict[str, Any]:
    ordered, across = overview.worst_first(rows, groups)
    return {
        "groups": len(groups),
        "pictures": sum(map(len, groups)),
        "across_splits": across,
        "rows": [list(group[:_OF_A_GROUP]) for group in ordered[:_DUPLICATES]],
    }
