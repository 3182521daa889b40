"""Which rows of a stream train, validate and test: `splits`, where nobody knows the rows before they come.

What the data bring is kept. Else each row's side is the one it has in `splits`, a function of its name or of
its folder's (`sides`). Of a few pictures, none may fall to a side, which is then empty here, while `splits`,
which sees all names, moves one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fsynth.data.sides import HELD_OUT, TEST, TRAIN, VALIDATION, HashedSides, check_options
from fsynth.errors import ConfigError

_FEW = ", where few of them may leave a side empty"


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
        ConfigError: ``val_fraction`` where the data bring validation rows; whole garments in the sizes of
            sides that the data bring, which only `splits` can count.
    """
    check_options(by, val_fraction)
    brought = [name for name in (TEST, VALIDATION) if name in there]
    if not brought:
        hashed = HashedSides(by, HELD_OUT, val_fraction, seed)
        names = [TRAIN, *[VALIDATION] * bool(val_fraction), TEST]
        return [Side(name, tuple(there), hashed) for name in names], hashed.describe() + _FEW
    if by == "garment":
        raise ConfigError(
            f"--split-by garment keeps the size of the {brought[0]} rows that the data bring, which a stream "
            "does not know before its end; leave it out, or streaming"
        )
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
        how += f"; {hashed.describe()}{_FEW}"
    return [*sides, Side(TEST, (tests,))], how
