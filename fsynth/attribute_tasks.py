"""The labels of a data set as zero-shot tasks: can a model tell gender, sleeve, category and colour?

Half of the sentences that name a class are frames of the benchmark's own, in which a fashion model has seen
the word; half are plain ones, in which a general model has. Category words that mean something else outside a
wardrobe ("tank", "bomber") are spelt out in the plain ones. The person and the garment of a frame vary, so
that they speak for no class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from fsynth.data.attributes import parse
from fsynth.data.labels import LABELS, NOT_STATED, UNKNOWN, UNSAID
from fsynth.zero_shot import Task, fill


@dataclass(frozen=True)
class Wording:
    """Templates of one kind of label, and the words for labels that are not their own name."""

    plain: tuple[str, ...]
    frames: tuple[str, ...]
    plain_words: Mapping[str, str] = field(default_factory=dict)
    frame_words: Mapping[str, str] = field(default_factory=dict)

    def prompts(self, label: str) -> tuple[str, ...]:
        """The sentences that name a label."""
        plain, frame = self.plain_words.get(label, label), self.frame_words.get(label, label)
        return fill(self.plain, plain) + fill(self.frames, frame)


_SLEEVES = {"long": "long-sleeved", "short": "short-sleeved"}
WORDINGS = {
    "gender": Wording(
        ("a photo of a {}.", "a {} wearing clothes.", "a photo of the clothes of a {}."),
        ("the {} was wearing a tee.", "the {} is wearing a jacket.", "the {} wore a sweater."),
        {"female": "woman", "male": "man"},
        {"female": "lady", "male": "man"},
    ),
    "sleeve": Wording(
        ("a photo of a {} garment.", "a photo of a person wearing {} clothes.", "a {} piece of clothing."),
        ("the lady wore a {} dress.", "the lady was wearing a {} blouse.", "the man is wearing a {} tee."),
        _SLEEVES,
        _SLEEVES,
    ),
    "category": Wording(
        ("a photo of a {}.", "a photo of a person wearing a {}.", "a {}, a type of clothing."),
        ("the lady wore a {}.", "the lady is wearing a {}.", "the man was wearing a {}."),
        {"bomber": "bomber jacket", "henley": "henley shirt", "tank": "tank top", "tee": "t-shirt"},
    ),
    "color": Wording(
        ("a photo of a {} garment.", "a photo of a person wearing {} clothes.", "a {} piece of clothing."),
        ("the lady wore a {} dress.", "the lady is wearing a {} tee.", "the man was wearing a {} jacket."),
    ),
}
"""Column -> its wording."""


def tasks(dataset: Any, rows: Sequence[int], clusters: torch.Tensor) -> list[Task]:
    """A task for each kind of label of which the rows have at least two.

    The classes are the labels that occur among these rows. Rows that have no label, or the benchmark's code
    for one that their sentence does not state, are left out.

    Args:
        dataset: with text and the columns of `LABELS`.
        rows: positions in it.
        clusters: (rows,) int64, the caption group of each.
    """
    columns = dataset.select_columns(["text", *LABELS])[list(rows)]
    said = {text: parse(text) for text in set(columns["text"])}
    found = []
    for column, names in LABELS.items():
        spoken = [getattr(said[text], column) != UNKNOWN for text in columns["text"]]
        labels = [
            None if code is None else _stated(column, names[code], is_spoken)
            for code, is_spoken in zip(columns[column], spoken, strict=True)
        ]
        if task := task_of(column, labels, clusters):
            found.append(task)
    return found


def _stated(column: str, label: str, spoken: bool) -> str | None:
    """None for the code that also means that nothing is said: all of a sleeve's, some of a colour's."""
    return None if label == NOT_STATED or (label == UNSAID.get(column) and not spoken) else label


def task_of(column: str, labels: Sequence[str | None], clusters: torch.Tensor) -> Task | None:
    """The task of one kind of label; None where fewer than two occur.

    Args:
        column: of `LABELS`.
        labels: of each row; None is left out.
        clusters: (rows,) int64, the caption group of each.
    """
    there = set(labels)
    classes = tuple(name for name in LABELS[column] if name in there)
    if len(classes) < 2:
        return None
    rows = torch.tensor([row for row, label in enumerate(labels) if label is not None])
    truth = torch.tensor([classes.index(label) for label in labels if label is not None])
    return Task(
        name=column,
        classes=classes,
        prompts=tuple(WORDINGS[column].prompts(name) for name in classes),
        rows=rows,
        truth=truth,
        clusters=clusters[rows].unique(return_inverse=True)[1],
        left_out=len(labels) - len(rows),
    )
