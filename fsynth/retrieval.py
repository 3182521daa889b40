"""Retrieval scores that stay true when captions repeat and similarities tie; pure tensor functions.

A picture finds sentences and a sentence finds pictures. Three protocols, because a benchmark's sentences
repeat (FashionSynthesis: 3,991 over 78,979 pictures, in 1,147 groups that say the same of the garment):

``pair``      the one right answer of a row is that row's own partner among all rows, as in the CLIP papers
              and in open_clip.
``sentence``  every picture of a sentence is a right answer to it; a picture ranks the distinct sentences, of
              which its own is right. A distinct sentence is asked once.
``group``     the same, but every sentence of the same group (`fsynth.caption_groups`), and every picture of
              one, is right.

``recall@k`` is the share of queries with a right answer among the first k (a hit rate, in the words of
torchmetrics), ``true_recall@k`` the share of a query's right answers that are among the first k; in ``pair``,
where there is one, they are the same. ``mrr`` is the mean reciprocal rank of the first right answer, ``map``
the mean average precision over all of them.

Ties are neither lost nor won: every score is its expectation when tied answers come in random order (McSherry
and Najork, Computing information retrieval performance measures efficiently in the presence of tied scores,
ECIR 2008). What perfect and blind models score is the same formula: `fsynth.ceilings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fsynth.score_names import AT, DIRECTIONS

Scores = dict[str, dict[str, dict[str, float]]]
"""protocol -> direction -> name -> number."""


@dataclass(frozen=True)
class Places:
    """Where the right answers of each query stand; tensors with one row a query.

    Attributes:
        better: int64, wrong answers strictly above the best right one.
        tied: int64, answers exactly at its level, itself included.
        right: int64, how many of the tied ones are right, at least 1.
        positives: int64, right answers at any level.
        precision: float64 in (0, 1], expected average precision over all right answers.
        found: float64 (queries, len(AT)), expected right answers among the first k of `AT`.
    """

    better: Tensor
    tied: Tensor
    right: Tensor
    positives: Tensor
    precision: Tensor
    found: Tensor

    @staticmethod
    def of_one_level(better: Tensor, tied: Tensor, right: Tensor) -> Places:
        """Of queries whose right answers are all tied with one another."""
        precision = expected_precision(better, tied, torch.zeros_like(right), right)
        return Places(better, tied, right, right, precision, expected_share(better, tied) * right[:, None])

    def ranks(self) -> Tensor:
        """Expected rank of the first right answer; (queries,) float64, 1 is best."""
        return self.better + (self.tied + 1).double() / (self.right + 1)

    def recall(self, k: int) -> Tensor:
        """Probability that the first k answers hold a right one; (queries,) float64 in [0, 1].

        Hypergeometric: 1 - C(tied - right, s) / C(tied, s) with s = k - better draws.
        """
        near = (self.better < k).nonzero()[:, 0]
        better, tied, right = (levels[near] for levels in (self.better, self.tied, self.right))
        missed = torch.ones_like(near, dtype=torch.float64)
        for drawn in range(k):
            share = (tied - right - drawn).clamp(min=0) / (tied - drawn).clamp(min=1).double()
            missed = torch.where(better + drawn < k, missed * share, missed)
        return torch.zeros_like(self.better, dtype=torch.float64).index_put((near,), 1 - missed)

    def true_recall(self, k: int) -> Tensor:
        """Expected share of the right answers that are among the first k of `AT`; (queries,) float64."""
        return self.found[:, AT.index(k)] / self.positives

    def reciprocal_ranks(self) -> Tensor:
        """Expected reciprocal rank of the first right answer; (queries,) float64 in (0, 1]."""
        found = harmonic(self.better, self.tied) / self.tied
        several = self.right > 1
        if several.any():
            levels = torch.stack([self.better, self.tied, self.right])[:, several]
            distinct, which = levels.unique(dim=1, return_inverse=True)
            found[several] = torch.stack([_reciprocal(*level) for level in distinct.T.tolist()])[which]
        return found


Ranking = Mapping[str, Mapping[str, Places]]
"""protocol -> direction -> places."""


def scores(places: Ranking) -> Scores:
    """protocol -> direction -> what `summary` says."""
    return {
        protocol: {direction: summary(by[direction]) for direction in DIRECTIONS}
        for protocol, by in places.items()
    }


def summary(places: Places) -> dict[str, float]:
    """Means over the queries: ``recall@k`` and ``true_recall@k`` for k of `AT`, ``mrr``, ``map`` (all in
    [0, 1]), ``median_rank`` and ``mean_rank`` (of the first right answer, from 1)."""
    ranks = places.ranks()
    numbers = {f"recall@{k}": places.recall(k).mean() for k in AT}
    numbers |= {f"true_recall@{k}": places.true_recall(k).mean() for k in AT}
    numbers |= {"mrr": places.reciprocal_ranks().mean(), "map": places.precision.mean()}
    numbers |= {"median_rank": _median(ranks), "mean_rank": ranks.mean()}
    return {name: float(number) for name, number in numbers.items()}


def recall_apart(places: Ranking, sentence: Tensor, apart: Tensor) -> dict[str, dict[str, dict[str, float]]]:
    """Recall@1 of some captions' queries, and of their pictures', apart from that of the others.

    Args:
        sentence: (N,) int64, the caption of each row.
        apart: (M,) bool, of each caption.

    Returns:
        protocol (``group`` and ``sentence``) -> direction -> ``recall@1``; empty where there are none.
    """
    of = {"text_to_image": apart, "image_to_text": apart[sentence]}
    if not apart.any():
        return {}
    return {
        protocol: {
            way: {"recall@1": float(places[protocol][way].recall(1)[of[way]].mean())} for way in DIRECTIONS
        }
        for protocol in ("group", "sentence")
    }


def expected_share(better: Tensor, tied: Tensor) -> Tensor:
    """Probability that an answer is among the first k, for k of `AT`; (..., len(AT)) float64.

    Args:
        better: answers above it, int64 (...).
        tied: answers at its level, itself included.
    """
    first = torch.tensor(AT, dtype=torch.float64)
    return ((first - better[..., None]) / tied[..., None]).clamp(0, 1)


def expected_precision(better: Tensor, tied: Tensor, right_better: Tensor, right: Tensor) -> Tensor:
    """Expected precision at a right answer's place; their mean is the average precision.

    With n answers at its level behind b others, r and q of them right, it stands at each place b + j of the
    level alike, behind q and an expected (j - 1) (r - 1) / (n - 1) right ones.

    Args:
        better, tied: answers above it and at its level, int64 (...).
        right_better, right: the right ones among these, itself included.
    """
    slope = (right - 1).double() / (tied - 1).clamp(min=1)
    return slope + (right_better + 1 - slope * (1 + better)) * harmonic(better, tied) / tied


def harmonic(start: Tensor, count: Tensor) -> Tensor:
    """Sum of 1 / (start + j) for j from 1 to count; float64."""
    many = torch.digamma((start + count + 1).double()) - torch.digamma((start + 1).double())
    return torch.where(count == 1, 1 / (start + 1).double(), many)


def _reciprocal(better: int, tied: int, right: int) -> Tensor:
    """The first right one is at place j of its level with chance C(tied - j, right - 1) / C(tied, right)."""
    worth = 40 * tied // right + 2  # beyond, it is less likely than exp(-40), which float64 cannot add to 1
    place = torch.arange(1, min(tied - right + 1, worth) + 1, dtype=torch.float64)
    ratio = (tied - place[:-1] - right + 1) / (tied - place[:-1])
    chance = torch.cat([torch.ones(1, dtype=torch.float64), ratio]).cumprod(0) * right / tied
    return (chance / (better + place)).sum()


def _median(ranks: Tensor) -> Tensor:
    ordered = ranks.sort().values  # quantile() refuses more than 16 million
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
