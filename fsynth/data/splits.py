"""Which rows train, validate and test: what the data bring, else a draw by names (`sides`).

Every division is a function of (names, official splits, settings), so that a run can be repeated, and has a
fingerprint, so that a resumed run notices other rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fsynth.data.sides import (
    HELD_OUT,
    TEST,
    TRAIN,
    VALIDATION,
    HashedSides,
    check_options,
    garment_of,
)
from fsynth.errors import ConfigError, DataError, FsynthError
from fsynth.keyed import seed_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]


VALIDATION_SHARE = 0.05
"""Of the training pictures, where somebody needs validation rows and the data bring none."""
FEWEST_TO_VALIDATE = 5


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
    val_fraction: float | None = 0.0,
    seed: int = 0,
) -> Splits:
    """Divide the rows of a source.

    Args:
        names: path of every row's picture; its folder is the garment.
        official: train, validation, test -> rows, as the data bring them; disjoint, together all rows, or
            empty. Without test rows the validation rows test, without these a seeded tenth of all pictures.
        by: ``official``, or ``garment``: no folder on two sides, sizes near those of ``official``.
        val_fraction: share of the training pictures set aside for validation; 0 takes what the data bring,
            None as well, or sets `VALIDATION_SHARE` aside where they bring none and that is a garment, or
            `FEWEST_TO_VALIDATE` pictures, at least.
        seed: of what is drawn.

    Raises:
        DataError: too few pictures to hold any out.
        ConfigError: settings that the rows do not allow.
    """
    if val_fraction is None:
        val_fraction = _usual_validation(names, official, by)
    check_options(by, val_fraction)
    if not any(len(official.get(side, ())) for side in (TEST, VALIDATION)):
        return _drawn(names, HashedSides(by, HELD_OUT, val_fraction, seed))
    train, validation, test, how = _official(official)
    if val_fraction and len(validation):
        raise ConfigError(
            f"--val-fraction {val_fraction:g}: the data bring {len(validation):,} validation rows; leave it "
            "out"
        )
    if val_fraction:
        hashed = HashedSides("official", 0.0, val_fraction, seed)
        train, validation, moved = _set_aside(names, train, hashed, VALIDATION)
        how += [hashed.describe(), *moved]
    if by == "garment":
        train, validation, test = _by_garment(names, len(validation), len(test), seed)
        how = [f"whole garments, seed {seed}, in nearly these sizes: {how[0]}", *how[1:]]
    return Splits(train, validation, test, names, "; ".join(how))


def _usual_validation(names: Sequence[str], official: Mapping[str, Sequence[int]], by: str) -> float:
    """What is set aside unasked: nothing where that would be little or leave too few to divide."""
    if all(len(official.get(side, ())) for side in (VALIDATION, TEST)):
        return 0.0
    train = official.get(TRAIN, ())
    pictures = {names[row] for row in train} if len(train) else {*names}
    enough = len(pictures) * VALIDATION_SHARE >= FEWEST_TO_VALIDATE
    if enough and by == "garment":
        enough = len({garment_of(name) for name in pictures}) * VALIDATION_SHARE >= 1
    return VALIDATION_SHARE if enough else 0.0


def _official(official: Mapping[str, Sequence[int]]) -> tuple[Rows, Rows, Rows, list[str]]:
    train, validation, test = (
        np.sort(np.asarray(official.get(name, ()), dtype=np.int64)) for name in (TRAIN, VALIDATION, TEST)
    )
    if len(test):
        return train, validation, test, ["the official split"]
    return train, test, validation, ["the official split; its validation rows test"]


def _drawn(names: Sequence[str], hashed: HashedSides) -> Splits:
    """All rows by the hashes of their names."""
    rows = np.arange(len(names))
    if hashed.by == "garment":
        _need_garments(sorted({hashed.key(name) for name in names}), 2 + bool(hashed.validation))
    train, test, moved = _set_aside(names, rows, hashed, TEST, keep=1 + bool(hashed.validation))
    validation = rows[:0]
    if hashed.validation:
        train, validation, more = _set_aside(names, train, hashed, VALIDATION)
        moved += more
    how = ["the data bring no test rows", hashed.describe(), *moved]
    return Splits(train, validation, test, names, "; ".join(how))


def _set_aside(
    names: Sequence[str], rows: Rows, hashed: HashedSides, side: str, keep: int = 1
) -> tuple[Rows, Rows, list[str]]:
    """The rows that are left, those of the side, and what to say where hashes alone would leave one empty.

    Args:
        keep: so many pictures or garments are left at least.
    """
    keys = [hashed.key(names[row]) for row in rows.tolist()]
    places = {key: hashed.place(side, key) for key in {*keys}}
    if len(places) <= keep:
        raise _too_few(len(rows), len(places), hashed, side)
    below = sum(place < hashed.share(side) for place in places.values())
    count = min(max(below, 1), len(places) - keep)
    taken = {*sorted(places, key=places.__getitem__)[:count]}
    moved = [f"{below} of {len(places)} hashes fall to {side}, {count} taken (a stream takes {below})"]
    chosen = np.array([key in taken for key in keys], dtype=bool)
    return rows[~chosen], rows[chosen], moved * (count != below)


def _too_few(rows: int, pictures: int, hashed: HashedSides, side: str) -> FsynthError:
    told = f"{rows:,} row(s) of {pictures:,} picture(s)"
    if side == TEST and not hashed.validation:
        return DataError(f"{told} cannot be divided into training and test rows; add pictures")
    return ConfigError(
        f"--val-fraction {hashed.validation:g} of {told} leaves none to train on; leave it out"
    )


def _need_garments(folders: Sequence[str], sides: int) -> None:
    if len(folders) < sides:
        raise ConfigError(
            f"--split-by garment: the pictures lie in {len(folders)} folder(s), first '{folders[0]}', "
            f"too few for {sides} sides; use --split-by official"
        )


def _by_garment(names: Sequence[str], validation: int, test: int, seed: int) -> tuple[Rows, Rows, Rows]:
    """Garments in a seeded order go to a side as long as that brings it nearer to its size."""
    folders, garment = np.unique([garment_of(name) for name in names], return_inverse=True)
    wanted = [(2, test), (1, validation)]
    sides = 1 + sum(size > 0 for _, size in wanted)
    _need_garments(folders, sides)
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
