"""Pictures that belong to named classes, shown to a model through its own preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from fsynth.data import picture_files
from fsynth.errors import DataError, not_now
from fsynth.zero_shot import Task, fill

TEMPLATES = ("a photo of a {}.", "a photo of the {}.", "a picture of a {}.", "an image of one {}.")
SEED = 0
"""The seed of a run does not choose the pictures: scores compare between runs."""


class Pictures(Protocol):
    """Pictures by place; reading one raises what its decoder raises."""

    def __getitem__(self, place: int) -> Any: ...

    def called(self, place: int) -> str:
        """What messages call it."""


@dataclass(frozen=True)
class ClassPictures:
    """Pictures that belong to named classes.

    Attributes:
        name: of the set, short.
        classes: names, as they stand in sentences.
        truth: the class of each picture.
        found: how many there were to draw from.
        pictures: place -> PIL picture, and what messages call it.
        note: what a user should know of them.
    """

    name: str
    classes: tuple[str, ...]
    truth: tuple[int, ...]
    found: int
    pictures: Pictures
    note: str = ""

    def describe(self) -> str:
        """One line: what, how many, how chosen."""
        drawn = f" (drawn from {self.found:,}, seed {SEED})" if len(self.truth) < self.found else ""
        note = f"; {self.note}" if self.note else ""
        pictures = f"{len(self.truth):,} pictures{drawn}"
        return f"zero-shot: {self.name}, {pictures} of {len(self.classes)} classes{note}"

    def task(self) -> Task:
        """The task of telling their classes; each picture is a cluster of its own."""
        rows = torch.arange(len(self.truth))
        prompts = tuple(fill(TEMPLATES, name) for name in self.classes)
        return Task(self.name, self.classes, prompts, rows, torch.tensor(self.truth), rows)

    def shown(self, transform: Callable[[Any], Tensor]) -> torch.utils.data.Dataset:
        """The pictures as a model sees them; one that cannot be decoded is a `DataError`."""
        return _Shown(self.pictures, len(self.truth), transform)


class _Shown(torch.utils.data.Dataset):
    def __init__(self, pictures: Pictures, count: int, transform: Callable[[Any], Tensor]) -> None:
        self.pictures, self.count, self.transform = pictures, count, transform

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> Tensor:
        try:
            return self.transform(self.pictures[place])
        except picture_files.undecodable() as error:
            called = self.pictures.called(place)
            if isinstance(error, OSError) and (refused := not_now(called, error)):
                raise refused from None
            raise DataError(
                f"--zero-shot: {called} is not a picture ({picture_files.fault(error)}); take it out"
            ) from None
