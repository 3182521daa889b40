"""Which rows are left out because of their pictures: unreadable, too small, or repeating another.

A picture that cannot be read leaves every side. Small and repeated ones leave training and validation only:
the test rows stay those of everybody else, so that scores compare. Of a group that shows the same, the test
rows stay, and without any the first training row does. Pure but for `find` and `write`.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsynth import outputs
from fsynth.console import counted
from fsynth.data.picture_facts import Facts
from fsynth.data.splits import TEST, TRAIN, VALIDATION, Splits
from fsynth.errors import DataError

if TYPE_CHECKING:
    import datasets

FILE = "dropped.jsonl"
UNREADABLE, SMALL, REPEATED = "unreadable", "small", "repeated"
"""Reasons, in the order in which they are looked at: a row has one."""


@dataclass(frozen=True)
class Rules:
    """What is left out.

    Attributes:
        unreadable: pictures that cannot be decoded.
        min_side: pixels; pictures whose shorter side is below it. 0 leaves out none.
        duplicates: pictures that show the same as one that stays, exactly or nearly (`duplicates`).
    """

    unreadable: bool = False
    min_side: int = 0
    duplicates: bool = False

    def __bool__(self) -> bool:
        return self.unreadable or self.duplicates or self.min_side > 0


@dataclass(frozen=True)
class Dropped:
    """A row that was left out; ``row`` counts from 0, ``split`` is the side it would have been on.

    ``detail`` is the decoder's message or the size; ``kept_row``, ``kept_name`` and ``kept_split`` name the
    picture that stays in place of a repeated one.
    """

    row: int
    name: str
    split: str
    reason: str
    detail: str = ""
    kept_row: int | None = None
    kept_name: str | None = None
    kept_split: str | None = None


@dataclass(frozen=True)
class Cleaned:
    """The rows that stay, those that do not, and a line a rule that says so."""

    splits: Splits
    dropped: tuple[Dropped, ...] = ()
    lines: tuple[str, ...] = ()


def find(dataset: datasets.Dataset, divided: Splits, rules: Rules, workers: int | None = None) -> Cleaned:
    """Clean a source that was divided; its pictures are read where nothing is known of them yet.

    Args:
        dataset: all rows of the source.
        workers: processes that read pictures (`picture_facts.find`).

    Raises:
        DataError: no row of a side would be left; a process that read pictures was killed.
        OutputError: the cache folder cannot be written.
    """
    from fsynth.data import picture_facts

    return apply(picture_facts.find(dataset, workers), divided, rules) if rules else Cleaned(divided)


def apply(facts: Facts, divided: Splits, rules: Rules) -> Cleaned:
    """The same from known facts.

    Raises:
        DataError: no row of a side would be left.
    """
    dropped = sorted(_dropped(facts, divided, rules), key=lambda one: one.row)
    left = divided.without([one.row for one in dropped])
    lines = tuple(_lines(dropped, facts, divided, rules))
    for side in (TRAIN, VALIDATION, TEST):
        if len(getattr(divided, side)) and not len(getattr(left, side)):
            raise DataError(
                f"cleaning leaves no {side} rows: {'; '.join(lines)}; drop less, or see what data-check says"
            )
    return Cleaned(left, tuple(dropped), lines)


def write(folder: Path, dropped: Sequence[Dropped]) -> Path:
    """Write `FILE`, a JSON object a row that was left out, in their order."""
    lines = []
    for one in dropped:
        known = {name: value for name, value in dataclasses.asdict(one).items() if value not in (None, "")}
        lines.append(json.dumps(known, ensure_ascii=False) + "\n")
    outputs.write_text(folder / FILE, "".join(lines))
    return folder / FILE


def _dropped(facts: Facts, divided: Splits, rules: Rules) -> Iterator[Dropped]:
    side = divided.sides()
    gone: set[int] = set()
    for row, error in facts.errors.items() if rules.unreadable else ():
        gone.add(row)
        yield Dropped(row, divided.names[row], side[row], UNREADABLE, error)
    for row in _small(facts, rules.min_side):
        if side[row] != TEST:
            gone.add(row)
            detail = "{} x {} px".format(*facts.sizes[row])
            yield Dropped(row, divided.names[row], side[row], SMALL, detail)
    for group in facts.groups if rules.duplicates else ():
        yield from _repeated([row for row in group if row not in gone], divided.names, side)


def _small(facts: Facts, min_side: int) -> list[int]:
    return [row for row, size in enumerate(facts.sizes) if size is not None and min(size) < min_side]


def _repeated(group: Sequence[int], names: Sequence[str], side: Sequence[str]) -> Iterator[Dropped]:
    """The rows of a group that go, in favour of the first on the side that counts most."""
    if not group:
        return
    kept = min(group, key=lambda row: ((TEST, TRAIN, VALIDATION).index(side[row]), row))
    twin = {"kept_row": kept, "kept_name": names[kept], "kept_split": side[kept]}
    for row in group:
        if row != kept and side[row] != TEST:
            yield Dropped(row, names[row], side[row], REPEATED, **twin)


def _lines(dropped: Sequence[Dropped], facts: Facts, divided: Splits, rules: Rules) -> Iterator[str]:
    """A line a rule, also where it found nothing."""
    of: dict[str, list[Dropped]] = {UNREADABLE: [], SMALL: [], REPEATED: []}
    for one in dropped:
        of[one.reason].append(one)
    if rules.unreadable:
        found = of[UNREADABLE]
        first = f"; first {_broken(found[0])}" if found else ""
        yield f"dropped: {_counted(found)} that cannot be read{first}"
    if rules.min_side:
        stay = len(set(_small(facts, rules.min_side)) & set(divided.test.tolist()))
        kept = f"; {counted(stay, 'test picture')} as small stay" if stay else ""
        yield f"dropped: {_counted(of[SMALL])} with a side below {rules.min_side} px{kept}"
    if rules.duplicates:
        found = of[REPEATED]
        twins = sum(one.kept_split == TEST for one in found)
        leaks = f"; {twins:,} of them show the same as a test picture" if twins else ""
        yield f"dropped: {_counted(found)} that repeat another one{leaks}"


def _broken(one: Dropped) -> str:
    return one.detail if one.detail.startswith(one.name) else f"{one.name}: {one.detail}"


def _counted(found: Sequence[Dropped]) -> str:
    times = Counter(one.split for one in found)
    sides = ", ".join(f"{times[side]:,} {side}" for side in (TRAIN, VALIDATION, TEST) if times[side])
    return counted(len(found), "picture") + (f" ({sides})" if sides else "")
