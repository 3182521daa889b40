"""Which sentences mean the same: one group id for the loss, the batches and the scores.

FashionSynthesis has 4,004 distinct sentences over 78,979 pictures, and many of these differ in a word of no
weight ("the lady wore", "the lady is wearing"): as many as state the same gender, sleeve, category and colour
are right answers to one another. A sentence that names no garment states too little; it stands for itself.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fsynth.data.attributes import parse
from fsynth.data.labels import UNKNOWN

if TYPE_CHECKING:
    from torch import Tensor

By = Literal["attributes", "sentence"]


@dataclass(frozen=True)
class CaptionGroups:
    """The sentences of some rows, and who belongs together.

    Attributes:
        sentences: the distinct ones, in order of appearance, each in its first spelling; M of them.
        sentence: (N,) int64, of each row the place of its sentence.
        group: (M,) int64, of each distinct sentence its group, counted from 0 in order of appearance.
        by: what makes a group.
    """

    sentences: tuple[str, ...]
    sentence: Tensor
    group: Tensor
    by: By

    @property
    def row_groups(self) -> Tensor:
        """(N,) int64, the group of each row."""
        return self.group[self.sentence]


def find(texts: Sequence[str], by: By = "attributes") -> CaptionGroups:
    """The groups of rows with these sentences.

    Args:
        by: ``attributes`` puts sentences together that state the same gender, sleeve, category and colour;
            ``sentence`` those that differ in case, width of characters, spacing or punctuation only.
    """
    import torch

    places: dict[str, int] = {}
    first: list[str] = []
    rows = []
    for text in texts:
        key = normalised(text)
        if key not in places:
            places[key] = len(first)
            first.append(text)
        rows.append(places[key])
    keys = [_attributes(text) if by == "attributes" else key for key, text in zip(places, first, strict=True)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    groups = torch.tensor([numbers[key] for key in keys], dtype=torch.int64)
    return CaptionGroups(tuple(first), torch.tensor(rows, dtype=torch.int64), groups, by)


def normalised(text: str) -> str:
    """What two spellings of one sentence have in common: no case, no widths, no punctuation, single spaces.

    >>> normalised("The lady  wore a BLUE, long-sleeved tee.")
    'the lady wore a blue long sleeved tee'
    """
    wide = unicodedata.normalize("NFKC", text).casefold()
    # a sentence of punctuation alone stays what it is
    bare = "".join(" " if unicodedata.category(sign)[0] == "P" else sign for sign in wide)
    return " ".join(bare.split()) or wide


def _attributes(text: str) -> tuple[str, ...]:
    said = parse(text)
    if said.category == UNKNOWN:
        return (normalised(text),)
    return (said.gender, said.sleeve, said.category, said.color)


def describe(groups: CaptionGroups, batch_size: int) -> list[str]:
    """What the repetition means for training, in lines: pairs, groups, twins and the floor of the loss.

    A row's twins are the rows of its batch that are right answers to it, too. The floor is what the loss of
    CLIP cannot fall below, since they cannot be told apart: the mean log of how many there are.
    """
    counts = Counter(groups.row_groups.tolist())
    rows = len(groups.sentence)
    largest, size = counts.most_common(1)[0]
    name = groups.sentences[groups.group.tolist().index(largest)]
    twins, floor = expected_twins(list(counts.values()), batch_size)
    what = "groups of equal attributes" if groups.by == "attributes" else "groups of equal sentences"
    return [
        f"pairs: {rows:,} with {len(groups.sentences):,} distinct sentences in {len(counts):,} {what}; the "
        f"largest has {size:,} ({name!r})",
        f"a random batch of {batch_size}: {twins:.1f} twins a row are expected; the CLIP loss of a model "
        f"that knows every group, but no row, is {floor:.3f}",
    ]


def expected_twins(sizes: Sequence[int], batch_size: int) -> tuple[float, float]:
    """Of random batches: twins of a row, and the mean log of the rows that are alike (itself included).

    Args:
        sizes: rows of each group.

    Returns:
        twins and floor, both 0 where no group has two rows. The number alike is hypergeometric; the mean of
        its log is taken exactly.
    """
    import numpy as np
    from scipy import stats

    rows = sum(sizes)
    size, how_many = np.unique(np.asarray(sizes), return_counts=True)
    share = size * how_many / rows
    others = min(batch_size, rows) - 1
    alike = np.arange(others + 1)
    chances = stats.hypergeom.pmf(alike[None, :], rows - 1, size[:, None] - 1, others)
    return float(share @ (chances @ alike)), float(share @ (chances @ np.log1p(alike)))
