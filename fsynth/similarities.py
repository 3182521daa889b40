"""How alike pictures and sentences are to a model: cosines of those that belong together, and of the others.

They are counted in fine bins as they are computed, so that any number of pairs fits in memory, and shown in
coarse ones. How well the two kinds are told apart is one number, the area under the ROC curve: how often the
matching one of two pairs is the closer one (Hanley & McNeil 1982).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

FINE = 4000
"""Bins from -1 to 1."""
LEAST_BINS, MOST_BINS = 10, 40
_WIDTHS = (1, 2, 4, 10, 20, 40, 100, 200, 400)
"""In fine bins: the coarse ones are 0.0005 to 0.2 wide, and begin at multiples of that."""
_PAIRS_AT_ONCE = 2**22


@dataclass(frozen=True)
class Similarities:
    """Cosines of all pairs of a picture and a distinct sentence.

    Attributes:
        matching, others: (FINE,) int64, pairs in each bin; of one caption group, and of two.
        sums: of the cosines of either.
    """

    matching: Tensor
    others: Tensor
    sums: tuple[float, float]

    def means(self) -> tuple[float | None, float | None]:
        """Of matching and of other pairs; None where there are none."""
        pairs = (int(self.matching.sum()), int(self.others.sum()))
        first, second = (total / n if n else None for total, n in zip(self.sums, pairs, strict=True))
        return first, second

    def auc(self) -> float | None:
        """Probability that a matching pair is closer than another, ties half; None without both kinds.

        Pairs in one fine bin count as tied: an error of less than the share of pairs that meet in one.
        """
        matching, others = self.matching.double(), self.others.double()
        if not matching.sum() or not others.sum():
            return None
        below = others.cumsum(0) - others / 2
        return float((matching @ below) / (matching.sum() * others.sum()))


def count(
    pictures: Tensor, sentences: Tensor, picture_groups: Tensor, sentence_groups: Tensor
) -> Similarities:
    """Count the cosines of every picture with every sentence.

    Args:
        pictures: (N, D) features of unit length.
        sentences: (M, D) features of the distinct sentences.
        picture_groups: (N,) int64, the caption group of each picture.
        sentence_groups: (M,) int64, of each sentence.
    """
    matching, everything = torch.zeros(FINE, dtype=torch.int64), torch.zeros(FINE, dtype=torch.int64)
    pictures, sentences = pictures.float(), sentences.float()
    matching_sum = 0.0
    for rows in torch.arange(len(pictures)).split(max(1, _PAIRS_AT_ONCE // max(1, len(sentences)))):
        cosines = pictures[rows] @ sentences.T
        same = cosines[picture_groups[rows, None] == sentence_groups[None, :]]
        everything += _binned(cosines)
        matching += _binned(same)
        matching_sum += float(same.sum(dtype=torch.float64))
    total = float(pictures.sum(0, dtype=torch.float64) @ sentences.sum(0, dtype=torch.float64))
    return Similarities(matching, everything - matching, (matching_sum, total - matching_sum))


def _binned(cosines: Tensor) -> Tensor:
    # counted in float32, which is exact up to four times `_PAIRS_AT_ONCE`; rounding may leave [-1, 1]
    return torch.histc(cosines.clamp(-1, 1), FINE, -1, 1).long()


def record(found: Mapping[str, Similarities]) -> dict[str, Any]:
    """Histograms of several models in the same few bins, as plain values.

    Returns:
        ``start`` and ``width`` of the bins, fewer where there are few pairs; ``models``: name -> ``matching``
        and ``others`` (pairs in each bin), ``matching_mean``, ``others_mean`` and ``auc``, null where there
        are no such pairs.
    """
    models = list(found.values())
    taken = torch.stack([one.matching + one.others for one in models]).sum(0).nonzero()
    low, high = int(taken.min()), int(taken.max())
    most = _most_bins(int(models[0].matching.sum()))
    width = next(w for w in _WIDTHS if high // w - low // w < most)
    start, bins = low // width * width, high // width - low // width + 1
    return {
        "start": round(start * 2 / FINE - 1, 6),
        "width": round(width * 2 / FINE, 6),
        "models": {name: _model(one, start, width, bins) for name, one in found.items()},
    }


def _most_bins(pairs: int) -> int:
    """Twice what the Rice rule says: the bins hold several models, each of which fills a part of them."""
    return min(MOST_BINS, max(LEAST_BINS, int(4 * pairs ** (1 / 3))))


def _model(found: Similarities, start: int, width: int, bins: int) -> dict[str, Any]:
    matching_mean, others_mean = found.means()
    return {
        "matching": _coarse(found.matching, start, width, bins),
        "others": _coarse(found.others, start, width, bins),
        "matching_mean": matching_mean,
        "others_mean": others_mean,
        "auc": found.auc(),
    }


def _coarse(counts: Tensor, start: int, width: int, bins: int) -> list[int]:
    room = torch.zeros(bins * width, dtype=torch.int64)
    part = counts[start : start + bins * width]
    room[: len(part)] = part
    return room.view(bins, width).sum(1).tolist()
