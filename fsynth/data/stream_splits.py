"""Which rows of a stream train, validate and test: `splits`, where nobody knows the rows before they come.

What the data bring is kept. Else each row's side is a function of its name, or of its folder's, so that it is
the same in any order and in any process; the shares are those of `splits`, as nearly as a hash gives them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from dataclasses import dataclass

from fsynth.data.splits import HELD_OUT, TEST, TRAIN, VALIDATION
from fsynth.errors import ConfigError
from fsynth.keyed import seed_of

_ALL = 2.0**63


@dataclass(frozen=True)
class HashedSides:
    """Sides as functions of names.

    Attributes:
        by: ``official`` for the row's name, ``garment`` for its folder's.
        test: share of the rows that test.
        validation: share of the others that validate.
    """

    by: str
    test: float
    validation: float
    seed: int

    def side(self, name: str) -> str:
        """Where the row of this name belongs."""
        key = posixpath.dirname(name) if self.by == "garment" else name
        for side, share in ((TEST, self.test), (VALIDATION, self.validation)):
            if seed_of(self.seed, "stream", side, key) < share * _ALL:
                return side
        return TRAIN

    def describe(self) -> str:
        """In words."""
        whose = "its folder's name" if self.by == "garment" else "its name"
        shares = [f"{self.test:.3g} of all test"] * bool(self.test)
        shares += [f"{self.validation:.3g} of the training rows validate"] * bool(self.validation)
        return f"{' and '.join(shares)}: each row's side by a hash of {whose}, seed {self.seed}"


@dataclass(frozen=True)
class Side:
    """Where the rows of one side come from.

    Attributes:
        name: train, validation or test.
        parts: splits that the data bring.
        hashed: tells which of their rows; None for all.
    """

    name: str
    parts: tuple[str, ...]
    hashed: HashedSides | None = None

    def has(self, name: str) -> bool:
        """Whether a row of the parts is on this side."""
        return self.hashed is None or self.hashed.side(name) == self.name


def divide(there: Collection[str], by: str, val_fraction: float, seed: int) -> tuple[list[Side], str]:
    """The sides, and how they came about, in words.

    Args:
        there: the splits that the data bring.
        by, val_fraction, seed: see `splits.split`.

    Raises:
        ConfigError: ``val_fraction`` where the data bring validation rows.
    """
    if by == "garment" or not {TEST, VALIDATION} & {*there}:
        hashed = HashedSides(by, HELD_OUT, val_fraction, seed)
        names = [TRAIN, *[VALIDATION] * bool(val_fraction), TEST]
        return [Side(name, tuple(there), hashed) for name in names], hashed.describe()
    tests = TEST if TEST in there else VALIDATION
    how = "the official split" + "; its validation rows test" * (tests == VALIDATION)
    sides = [Side(name, (name,)) for name in (TRAIN, VALIDATION) if name in there and name != tests]
    if val_fraction:
        if Side(VALIDATION, (VALIDATION,)) in sides:
            raise ConfigError(
                f"--val-fraction {val_fraction:g}: the data bring validation rows; leave it out"
            )
        hashed = HashedSides(by, 0.0, val_fraction, seed)
        sides = [Side(name, (TRAIN,), hashed) for name in (TRAIN, VALIDATION) if TRAIN in there]
        how += f"; {hashed.describe()}"
    return [*sides, Side(TEST, (tests,))], how
