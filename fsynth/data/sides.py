"""Sides of rows as functions of their names: how rows are drawn where the data bring no sides.

A row's side does not depend on the other rows, so it is the same in any order, in any process, in a stream
and in a table; rows of one name (several sentences of a picture) are on one side.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from fsynth.errors import ConfigError
from fsynth.keyed import seed_of

TRAIN, VALIDATION, TEST = "train", "validation", "test"
HELD_OUT = 0.1
"""Share of the rows held out where the data bring no test rows."""
WAYS = ("official", "garment")
"""What may be on one side: a picture, or a whole folder of them."""

_ALL = 2.0**63


def check_options(by: str, val_fraction: float) -> None:
    """Refuse a division that there is not.

    Raises:
        ConfigError: naming the value.
    """
    if by not in WAYS:
        raise ConfigError(f"--split-by {by!r} is no way to divide rows; take {' or '.join(WAYS)}")
    if not 0 <= val_fraction < 1:
        raise ConfigError(
            f"--val-fraction {val_fraction!r} is no share of the training rows; take 0 or more, less than 1"
        )


def garment_of(name: str) -> str:
    """The folder of a picture.

    Raises:
        ConfigError: it lies in none.
    """
    folder = posixpath.dirname(name)
    if not folder:
        raise ConfigError(
            f"--split-by garment: '{name}' lies in no folder that could tell its garment; "
            "use --split-by official"
        )
    return folder


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

    def key(self, name: str) -> str:
        """What is on one side as a whole.

        Raises:
            ConfigError: see `garment_of`.
        """
        return garment_of(name) if self.by == "garment" else name

    def share(self, side: str) -> float:
        """What part of the rows that no side before has taken falls to this one."""
        return self.test if side == TEST else self.validation

    def place(self, side: str, key: str) -> float:
        """Where a key stands in the draw of a side, from 0 to 1: below the side's share it is on it."""
        return seed_of(self.seed, "split", side, key) / _ALL

    def side(self, name: str) -> str:
        """Where the row of this name belongs.

        Raises:
            ConfigError: see `garment_of`.
        """
        key = self.key(name)
        drawn = (side for side in (TEST, VALIDATION) if self.share(side))
        return next((side for side in drawn if self.place(side, key) < self.share(side)), TRAIN)

    def describe(self) -> str:
        """In words."""
        whose = "its folder's name" if self.by == "garment" else "its name"
        shares = [f"{self.test:.3g} of all test"] * bool(self.test)
        shares += [f"{self.validation:.3g} of the training rows validate"] * bool(self.validation)
        return f"{' and '.join(shares)}: each row's side by a hash of {whose}, seed {self.seed}"
