"""Which rows train, validate and test: what the data bring, or whole garments on one side.

Every division is a function of (names, official splits, settings), so that a run can be repeated, and has a
fingerprint, so that a resumed run notices other rows.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fsynth.errors import ConfigError, DataError
from fsynth.keyed import seed_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

TRAIN, VALIDATION, TEST = "train", "validation", "test"
HELD_OUT = 0.1
"""Share of the rows held out where the data bring no test rows."""


@dataclass(frozen=True)
class Splits:
    """Sorted, disjoint rows; together all rows of the source but those that were dropped.

    Attributes:
        names: of every row of the source.
        how: in words, how the rows were divided.
        dropped: how many rows are on no side any more.
    """

    train: Rows
    validation: Rows
    test: Rows
    names: Sequence[str]
    how: str
    dropped: int = 0

    def without(self, rows: Collection[int]) -> Splits:
        """The same division, these rows left out."""
        gone = np.array(sorted(rows), np.int64)
        kept = {side: np.setdiff1d(getattr(self, side), gone) for side in (TRAIN, VALIDATION, TEST)}
        left = replace(self, **kept)
        return replace(left, dropped=self.dropped + self._rows() - left._rows())

    def _rows(self) -> int:
        return len(self.train) + len(self.validation) + len(self.test)

    def sides(self) -> list[str]:
        """Of every row of the source, the side it is on; empty for a dropped one."""
        sides = [""] * len(self.names)
        for side in (TRAIN, VALIDATION, TEST):
            for row in getattr(self, side).tolist():
                sides[row] = side
        return sides

    def fingerprint(self) -> str:
        """12 hex digits that change with any row, its name or its side."""
        digest = hashlib.sha256()
        for rows in (self.train, self.validation, self.test):
            digest.update(f"{len(rows)} rows\n".encode())
            digest.update("".join(f"{row} {self.names[row]}\n" for row in rows.tolist()).encode())
        return digest.hexdigest()[:12]

    def describe(self) -> str:
        """The line a command prints."""
        sizes = f"{len(self.train):,} train, {len(self.validation):,} validate, {len(self.test):,} test"
        sizes += f", {self.dropped:,} dropped" if self.dropped else ""
        return f"rows: {sizes} ({self.how}); fingerprint {self.fingerprint()}"


def split(
    names: Sequence[str],
    official: Mapping[str, Sequence[int]],
    by: str = "official",
    val_fraction: float = 0.0,
    seed: int = 0,
) -> Splits:
    """Divide the rows of a source.

    Args:
        names: path of every row's picture; its folder is the garment.
        official: train, validation, test -> rows, as the data bring them; disjoint, together all rows, or
            empty. Without test rows the validation rows test, without these a seeded tenth of all rows.
        by: ``official``, or ``garment``: no folder on two sides, sizes near those of ``official``.
        val_fraction: share of the training rows set aside for validation; 0 takes what the data bring.
        seed: of what is drawn.

    Raises:
        DataError: too few rows to hold any out.
        ConfigError: settings that the rows do not allow.
    """
    train, validation, test, how = _official(len(names), official, seed)
    if val_fraction:
        count = _to_set_aside(len(train), len(validation), val_fraction)
        if by != "garment":
            train, validation = _draw(train, count, seed, VALIDATION)
        else:
            validation = train[:count]  # its size is what counts
        how.append(f"{val_fraction:.3g} of the training rows set aside, seed {seed}")
    if by == "garment":
        train, validation, test = _by_garment(names, len(validation), len(test), seed)
        how = [f"whole garments, seed {seed}, in nearly these sizes: {how[0]}", *how[1:]]
    return Splits(train, validation, test, names, "; ".join(how))


def _official(
    rows: int, official: Mapping[str, Sequence[int]], seed: int
) -> tuple[Rows, Rows, Rows, list[str]]:
    train, validation, test = (
        np.sort(np.asarray(official.get(name, ()), dtype=np.int64)) for name in (TRAIN, VALIDATION, TEST)
    )
    if len(test):
        return train, validation, test, ["the official split"]
    if len(validation):
        return train, test, validation, ["the official split; its validation rows test"]
    if rows < 2:
        raise DataError(f"{rows} row cannot be divided into training and test rows; add pictures")
    train, test = _draw(np.arange(rows), max(1, round(HELD_OUT * rows)), seed, TEST)
    how = f"the data bring no test rows: {HELD_OUT:.0%} of all drawn, seed {seed}"
    return train, validation, test, [how]


def _to_set_aside(train: int, validation: int, fraction: float) -> int:
    """How many training rows are to validate."""
    if validation:
        raise ConfigError(
            f"--val-fraction {fraction:g}: the data bring {validation:,} validation rows; leave it out"
        )
    count = max(1, round(fraction * train))
    if count >= train:
        raise ConfigError(
            f"--val-fraction {fraction:g} of {train:,} training rows leaves none to train on; take less"
        )
    return count


def _draw(rows: Rows, count: int, seed: int, purpose: str) -> tuple[Rows, Rows]:
    """The rows without ``count`` of them, and those."""
    order = np.random.default_rng(seed_of(seed, "split", purpose)).permutation(len(rows))
    return np.sort(rows[order[count:]]), np.sort(rows[order[:count]])


def _by_garment(names: Sequence[str], validation: int, test: int, seed: int) -> tuple[Rows, Rows, Rows]:
    """Garments in a seeded order go to a side as long as that brings it nearer to its size."""
    folders, garment = np.unique([posixpath.dirname(name) for name in names], return_inverse=True)
    wanted = [(2, test), (1, validation)]
    sides = 1 + sum(size > 0 for _, size in wanted)
    if len(folders) < sides:
        raise ConfigError(
            f"--split-by garment: the pictures lie in {len(folders)} folder(s), first '{folders[0]}', "
            f"too few for {sides} sides; use --split-by official"
        )
    sizes, side = np.bincount(garment), np.zeros(len(folders), dtype=np.int64)
    order = np.random.default_rng(seed_of(seed, "split", "garment")).permutation(len(folders))
    for mark, target in wanted:
        if target:
            sides -= 1
            _fill(side, sizes, order, mark, target, keep=sides)
    train, *others = (np.flatnonzero(side[garment] == mark) for mark in range(3))
    return train, *others


def _fill(side: Rows, sizes: Rows, order: Rows, mark: int, target: int, keep: int) -> None:
    """Give free garments (side 0) to a side, at least one, leaving ``keep`` of them."""
    free = [garment for garment in order if side[garment] == 0]
    taken: list[int] = []
    rows = 0
    for garment in free:
        if len(free) - len(taken) > keep and rows + sizes[garment] / 2 <= target:
            taken.append(garment)
            rows += sizes[garment]
    side[taken or [min(free, key=lambda garment: sizes[garment])]] = mark
