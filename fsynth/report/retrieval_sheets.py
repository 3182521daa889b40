"""What retrieval finds: cases with their first answers, and how alike matching and other pairs are."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fsynth.errors import DataError, reason
from fsynth.report import files
from fsynth.report.blocks import (
    MOST_THUMBNAILS,
    NARROW,
    NOTICE,
    Answer,
    Block,
    Case,
    Column,
    Histogram,
    Histograms,
    Options,
    Section,
    Sheet,
    Words,
    percent,
)
from fsynth.report.data_uris import uri_of
from fsynth.report.retrieval_files import (
    CASES,
    FOLDER,
    HEADINGS,
    KINDS,
    RIGHT_IS,
    SIMILARITIES,
    Record,
    among,
    last_rank,
    path_of,
    ranks_text,
    right_text,
    rows_of_case,
)

LABELS = 8
"""Most labels under a histogram, about."""
LABEL_STEPS = (1, 2, 4, 5)
"""Bins from label to label, counted from 0: their numbers are round."""


def sheets(folder: Path, options: Options) -> Section | None:
    """Queries answered best, worst and drawn by lot (`fsynth clip-finetune`, `fsynth clip-eval`)."""
    path = folder / FOLDER / CASES
    record = files.record_of(path)
    if record is None:
        return None
    with _whole(path):
        return _sheets(folder, record, options)


def _sheets(folder: Path, record: Record, options: Options) -> Section:
    shown = _shown(record, options)
    blocks: list[Block] = [_sheet(folder, record, shown, way, options) for way in HEADINGS if shown[way]]
    notice = NOTICE if blocks and _with_pictures(record, options) and not record["drawn"] else ""
    if record["pictures"] and not options.thumbnails:
        blocks.append(Words("Pictures are left out (--no-pictures): their own sentences stand for them."))
    elif left := _left_out(record, shown):
        blocks.append(Words(left))
    *earlier, last = record["models"]
    lead = (
        f"Some of the queries behind the scores, by the rank that {last} gives the first right answer, and "
        f"what it finds. Right, ticked and green, is any answer {RIGHT_IS[record['right']]}."
    )
    lead += f" Ranks are {' → '.join(record['models'])}." if earlier else ""
    return Section("What it finds", lead, tuple(blocks), notice=notice)


def _left_out(record: Record, shown: dict[str, list[Record]]) -> str:
    """What is to be said of cases that found no room; nothing if all did."""
    cases, kept = (sum(len(found[way]) for way in HEADINGS) for found in (record, shown))
    if kept == cases:
        return ""
    return (
        f"{kept} of {cases} cases are shown: the folders of a page share {MOST_THUMBNAILS} small pictures. "
        "A report of this folder alone shows all."
    )


def _with_pictures(record: Record, options: Options) -> bool:
    return bool(record["pictures"] and options.thumbnails)


def room(folder: Path, options: Options) -> int:
    """How many thumbnails the cases of a folder take of what it may show."""
    path = folder / FOLDER / CASES
    record = files.record_of(path)
    if record is None:
        return 0
    with _whole(path):
        shown = [case for cases in _shown(record, options).values() for case in cases]
        rows = {row for case in shown for row in rows_of_case(case)}
        return len(rows) if _with_pictures(record, options) else 0


def _shown(record: Record, options: Options) -> dict[str, list[Record]]:
    """The cases whose pictures find room in two thirds of what the folder may show: all, if they show none.

    The first of each kind come before the second of any.
    """
    most = 2 * options.thumbnails // 3
    kept: dict[str, list[Record]] = {way: [] for way in HEADINGS}
    rows: set[int] = set()
    for way, case in _in_turn(record):
        more = rows | set(rows_of_case(case))
        if len(more) <= most or not _with_pictures(record, options):
            rows = more
            kept[way].append(case)
    kinds = list(KINDS)
    return {way: sorted(cases, key=lambda case: kinds.index(case["kind"])) for way, cases in kept.items()}


def _in_turn(record: Record) -> Iterator[tuple[str, Record]]:
    columns = [
        [(way, case) for case in record[way] if case["kind"] == kind] for way in HEADINGS for kind in KINDS
    ]
    for turn in itertools.zip_longest(*columns):
        yield from (one for one in turn if one is not None)


def _sheet(folder: Path, record: Record, shown: dict[str, list[Record]], way: str, options: Options) -> Sheet:
    pictures = _with_pictures(record, options)
    cases = tuple(_case(folder, case, pictures) for case in shown[way])
    return Sheet(HEADINGS[way], cases, f"among {among(record, way)}")


def _case(folder: Path, case: Record, pictures: bool) -> Case:
    def source(one: Record) -> str:
        return uri_of(files.content_of(path_of(folder, one["row"]))) if pictures and "row" in one else ""

    def answer(rank: str, one: Record) -> Answer:
        return Answer(rank, one["text"], f"{one['similarity']:.2f}", one["right"], source(one))

    return Case(
        level=KINDS[case["kind"]],
        text=case["text"],
        ranks=ranks_text(case),
        note=right_text(case),
        answers=tuple(answer(str(rank), one) for rank, one in enumerate(case["answers"], 1)),
        truth=answer(last_rank(case), case["truth"]) if case["truth"] else None,
        source=source(case),
    )


def alike(folder: Path, options: Options) -> Section | None:
    """Similarities of matching and of other pairs, by model."""
    path = folder / FOLDER / SIMILARITIES
    record = files.record_of(path)
    if record is None:
        return None
    with _whole(path):
        histograms = tuple(_histogram(name, found, record) for name, found in record["models"].items())
    lead = (
        "Cosines of every picture with every distinct sentence. The less the two kinds overlap, the better "
        "they are told apart; where they lie does not matter. Heights are shares of a kind."
    )
    return Section("How alike pairs are", lead, (Histograms(histograms),))


def _histogram(name: str, found: Record, record: Record) -> Histogram:
    others, matching = (_shares(found[kind]) for kind in ("others", "matching"))
    highest, first = max(*others, *matching) or 1.0, round(record["start"] / record["width"])
    every = next(step for step in LABEL_STEPS if len(others) <= LABELS * step)
    columns = []
    for place, (other, match) in enumerate(zip(others, matching, strict=True)):
        start, end = (_edge(record, place + step) for step in (0, 1))
        note = f"{start} to {end}: {percent(other)} of other pairs, {percent(match)} of matching ones"
        label = start if (first + place) % every == 0 else ""
        columns.append(Column(label, other / highest, note, match / highest))
    names = ("other pairs", "matching pairs")
    x_title = "cosine of picture and sentence"
    return Histogram(name, x_title, tuple(columns), _summary(found), names=names)


def _edge(record: Record, place: int) -> str:
    # without the last digits, which are rounding: 0 may come out as 1.1e-16
    return _signed(f"{round(record['start'] + place * record['width'], 4):g}")


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _summary(found: dict[str, Any]) -> str:
    if found["auc"] is None:
        return "all pairs are of one kind"
    means = f"mean {found['matching_mean']:.2f} of matching pairs, {found['others_mean']:.2f} of others"
    closer = (
        f"drawn by lot, a matching pair is closer than another in {100 * found['auc']:.1f}{NARROW}% (AUC)"
    )
    return f"{_signed(means)}; {closer}"


def _signed(text: str) -> str:
    return text.replace("-", "−")


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Names the file whose record lacks something."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else reason(error)
        raise DataError(f"{path} is not what was written ({why}); {files.AGAIN}") from None
