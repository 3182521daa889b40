"""What is wrong with a data set: findings from its sentences, codes, names, splits and scanned pictures.

Pure: the files are read by `fsynth.data.inspection`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fsynth.console import counted, shortened
from fsynth.data import attributes, duplicates
from fsynth.data.clip_tokens import LIMIT
from fsynth.data.labels import CATEGORIES, LABELS, agree
from fsynth.data.sides import TEST, TRAIN, VALIDATION

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

LEVELS = ("error", "warning", "note")
"""The worst first."""
ACROSS = (
    ((TRAIN, TEST), "scores would count training pictures: leave them out of training"),
    ((TRAIN, VALIDATION), "validation would count training pictures: leave them out of it"),
    ((VALIDATION, TEST), "what validation chooses is chosen by test pictures: leave them out of it"),
)
"""Two sides, the worst first, and what is wrong with pictures that are on both."""
SOME = 5
"""Examples that a finding names."""
FEW = 0.01
"""Share of rows: the benchmark's own slips (0.2 % contradicting sentences) stay far below it."""
APART = 6.0
"""Grey levels: one picture in both sources differs by up to 4.14, different ones by far more."""


@dataclass(frozen=True)
class Finding:
    """One thing found; ``error`` makes the data unfit as they are, ``note`` is for information.

    ``count`` is how many rows, members or groups it is about; ``examples`` are the first of them.
    """

    level: Literal["error", "warning", "note"]
    check: str
    count: int
    text: str
    advice: str = ""
    examples: tuple[str, ...] = ()


def fault(check: str, error: Exception) -> Finding:
    """The finding that an error of ours is; its last clause is the advice."""
    text, _, advice = str(error).rpartition("; ")
    return Finding("error", check, 1, text or advice, advice if text else "")


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: LEVELS.index(finding.level)))


def verdict(findings: Collection[Finding]) -> str:
    """What they come to, in a line."""
    errors, warnings = (sum(finding.level == level for finding in findings) for level in ("error", "warning"))
    if errors:
        return f"not fit for training: {counted(errors, 'fault')}, {counted(warnings, 'warning', none='0')}"
    checked = {finding.check for finding in findings}
    said = "fit for training"
    if "pictures" in checked:
        said = "the annotation is in order, but there are no pictures to train on"
    elif "sample" in checked:
        said = "no fault in a sample of the pictures"
    return f"{said}; {counted(warnings, 'warning')}" if warnings else said


def sentences_against_codes(
    texts: Sequence[str], codes: Mapping[str, NDArray[np.int64]], names: Sequence[str]
) -> Iterator[Finding]:
    """Rows whose sentence says another gender, sleeve, category or colour than their codes."""
    wrong: dict[int, str] = {}
    for column, numbers in codes.items():
        for row, (text, code) in enumerate(zip(texts, numbers, strict=False)):
            said, coded = getattr(attributes.parse(text), column), LABELS[column][code]
            if not agree(column, coded, said):
                wrong.setdefault(row, f"{_row(row, names)}: {shortened(text)!r}, {column} {coded}")
    many = len(wrong) > FEW * len(texts)
    if wrong:
        yield Finding(
            "error" if many else "note",
            "caption-code",
            len(wrong),
            f"{len(wrong):,} of {len(texts):,} sentences contradict the codes of their row",
            "sentences and codes are shifted or of different files: get the benchmark's own annotation"
            if many
            else "slips of the annotators; training follows the sentence",
            _some(wrong[row] for row in sorted(wrong)),
        )


def folders_against_categories(names: Sequence[str], category: NDArray[np.int64]) -> Iterator[Finding]:
    """Rows whose folder is named after another garment than their category: never so in the benchmark."""
    wrong = []
    for row, (name, code) in enumerate(zip(names, category, strict=False)):
        word = re.split(r"[_\W]+", folder(name))[-1].lower()
        if word in CATEGORIES and word != CATEGORIES[code]:
            wrong.append(f"{_row(row, names)}: category {CATEGORIES[code]}")
    if wrong:
        yield Finding(
            "error",
            "name-category",
            len(wrong),
            f"{len(wrong):,} of {len(names):,} rows have a category that is not the garment of their folder",
            "rows are swapped between nameList and cate_new: get the benchmark's own annotation",
            _some(wrong),
        )


def repeated_names(names: Sequence[str]) -> Iterator[Finding]:
    """Pictures that several rows name."""
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        yield Finding(
            "error",
            "names",
            len(repeated),
            f"{counted(len(repeated), 'name')} stand in nameList more than once",
            "one picture would have several sentences: get the benchmark's own annotation",
            _some(repeated),
        )


def long_sentences(
    texts: Sequence[str], names: Sequence[str], tokens: Callable[[Sequence[str]], Sequence[int]]
) -> Iterator[Finding]:
    """Sentences that the text encoder cuts off, and empty ones.

    Args:
        tokens: of sentences, with start and end; called only for those that may have too many.
    """
    empty = [row for row, text in enumerate(texts) if not text.strip()]
    if empty:
        yield Finding(
            "error",
            "captions",
            len(empty),
            f"{len(empty):,} of {len(texts):,} sentences are empty",
            "leave these rows out or write their sentences",
            _some(_row(row, names) for row in empty),
        )
    candidates = sorted({text for text in texts if len(text.lower().encode()) > LIMIT - 2})
    lengths = tokens(candidates) if candidates else ()
    long = {text for text, length in zip(candidates, lengths, strict=True) if length > LIMIT}
    rows = [row for row, text in enumerate(texts) if text in long]
    if rows:
        yield Finding(
            "warning",
            "captions",
            len(rows),
            f"{len(rows):,} of {len(texts):,} sentences have more than the {LIMIT} tokens that CLIP reads",
            "their ends are cut off: shorten them, most important words first",
            _some(_row(row, names) for row in rows),
        )


def shared_garments(names: Sequence[str], train: Collection[int], test: Collection[int]) -> Iterator[Finding]:
    """Test rows that show a garment (a folder) of the training rows; the official split is full of them."""
    known = {folder(names[row]) for row in train} - {""}
    shared = [row for row in test if folder(names[row]) in known]
    if shared:
        yield Finding(
            "note",
            "garments",
            len(shared),
            f"{len(shared):,} of {len(test):,} test rows show a garment (folder) that is in training, too",
            "scores tell how new pictures of known garments are met; for new ones take --split-by garment",
        )


def unreadable(scanned: pa.Table, names: Sequence[str]) -> Iterator[Finding]:
    """Rows whose picture cannot be read."""
    broken = [line for line in scanned.select(["row", "error"]).to_pylist() if line["error"] is not None]
    if broken:
        yield Finding(
            "error",
            "unreadable",
            len(broken),
            f"{len(broken):,} of {scanned.num_rows:,} pictures cannot be read",
            "get the archive again, or leave these rows out (--drop-unreadable)",
            _some(f"{_row(line['row'], names)}: {line['error']}" for line in broken),
        )


def sizes(scanned: pa.Table) -> Iterator[Finding]:
    """How large the pictures are."""
    lines = zip(*(scanned[name].to_pylist() for name in ("width", "height", "mode")), strict=True)
    kinds = Counter(line for line in lines if line[0] is not None)
    if not kinds:
        return
    widths, heights = ({kind[axis] for kind in kinds} for axis in (0, 1))
    modes = ", ".join(sorted({kind[2] for kind in kinds}))
    most, times = kinds.most_common(1)[0]
    total = sum(kinds.values())
    text = f"{total:,} pictures, {most[0]} x {most[1]} px, {modes}"
    if len(kinds) > 1:
        text = (
            f"{total:,} pictures, {min(widths)} to {max(widths)} px wide, "
            f"{min(heights)} to {max(heights)} px high, most often {most[0]} x {most[1]} ({times:,}), {modes}"
        )
    yield Finding("note", "sizes", total, text)


def blank(scanned: pa.Table, names: Sequence[str]) -> Iterator[Finding]:
    """Rows whose picture shows nothing but one colour."""
    lines = zip(scanned["row"].to_pylist(), scanned["contrast"].to_pylist(), strict=True)
    rows = [row for row, contrast in lines if contrast is not None and contrast < duplicates.BLANK]
    if rows:
        yield Finding(
            "warning",
            "blank",
            len(rows),
            f"{len(rows):,} of {scanned.num_rows:,} pictures are of one colour all over",
            "they teach nothing: leave these rows out",
            _some(_row(row, names) for row in rows),
        )


def repeated_pictures(
    found: Mapping[str, Sequence[Sequence[int]]],
    readable: int,
    names: Sequence[str],
    sides: Mapping[str, Collection[int]],
) -> Iterator[Finding]:
    """Pictures that occur twice, exactly or nearly, and those that stand on two sides.

    A training picture that is a test picture, pixel for pixel, is an error, all else on two sides a warning.

    Args:
        found: groups of rows (`duplicates.groups`).
        readable: pictures that were compared.
        sides: rows of ``train``, ``validation`` and ``test``.
    """
    for kind, groups in found.items():
        surplus = sum(len(group) - 1 for group in groups)
        same = "the same, pixel for pixel" if kind == "exact" else "nearly the same"
        if groups:
            yield Finding(
                "error" if kind == "exact" and surplus > FEW * readable else "warning",
                f"{kind}-duplicates",
                len(groups),
                f"{sum(map(len, groups)):,} pictures in {counted(len(groups), 'group')} are {same}",
                f"{surplus:,} of them can go (--drop-duplicates), unless rows were mixed up",
                _some(_group(group, names) for group in groups),
            )
        yield from _across(kind, same, groups, names, sides)


def _across(
    kind: str,
    same: str,
    groups: Sequence[Sequence[int]],
    names: Sequence[str],
    sides: Mapping[str, Collection[int]],
) -> Iterator[Finding]:
    of = {side: set(rows) for side, rows in sides.items()}
    for (one, other), advice in ACROSS:
        across = [group for group in groups if not (of[one].isdisjoint(group) or of[other].isdisjoint(group))]
        if across:
            yield Finding(
                "error" if kind == "exact" and (one, other) == (TRAIN, TEST) else "warning",
                f"{kind}-duplicates-across-splits",
                len(across),
                f"{counted(len(across), 'group')} of pictures that are {same} in {one} and {other} rows",
                f"{advice} (--drop-duplicates)",
                _some(_group(group, names) for group in across),
            )


def read_instead(read: Path, closed: Collection[Path]) -> Iterator[Finding]:
    """ZIPs that did not open, while the HDF5 did: what is said of the pictures is not about them."""
    if closed:
        names = " and ".join(file.name for file in closed)
        text = f"pictures were read from {read.name} instead; those of {names} were not opened"
        advice = (
            "what else is said of pictures is about those read: mend what keeps these closed, check again"
        )
        yield Finding("warning", "sources", len(closed), text, advice)


def sources_differ(scanned: pa.Table, names: Sequence[str]) -> Iterator[Finding]:
    """Rows whose pictures in the ZIP and in the HDF5 are not of one photo."""
    lines = zip(scanned["row"].to_pylist(), scanned["apart"].to_pylist(), strict=True)
    read = [(row, by) for row, by in lines if by is not None]
    wrong = [(row, by) for row, by in read if by > APART]
    if wrong:
        yield Finding(
            "error",
            "sources",
            len(wrong),
            f"{len(wrong):,} of {len(read):,} pictures compared are different ones in ZIP and HDF5 "
            f"(more than {APART:g} grey levels apart)",
            "rows are swapped in one of them: get both of the same release",
            _some(f"{_row(row, names)}: {by:.1f} levels" for row, by in wrong),
        )
    elif read:
        mean = float(np.mean([by for _, by in read]))
        text = (
            f"{len(read):,} pictures compared agree in ZIP and HDF5 (mean difference {mean:.2f} grey levels)"
        )
        yield Finding("note", "sources", len(read), text)


def folder(name: str) -> str:
    """The folder of a picture, which in the benchmark is its garment."""
    return name.rpartition("/")[0]


def _group(rows: Sequence[int], names: Sequence[str]) -> str:
    shown = " = ".join(_row(row, names) for row in rows[:3])
    return shown + (f" = {len(rows) - 3:,} more" if len(rows) > 3 else "")


def _row(row: int, names: Sequence[str]) -> str:
    """A row as the benchmark's files count it, from 1."""
    return f"row {row + 1} {names[row]}" if row < len(names) else f"row {row + 1}"


def _some(examples: Iterable[str]) -> tuple[str, ...]:
    return tuple(example for example, _ in zip(examples, range(SOME), strict=False))
