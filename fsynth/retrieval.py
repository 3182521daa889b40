"""Retrieval scores that stay true when captions repeat: ranks, recall at k, ceilings and chance.

Pure tensor functions. A picture finds sentences and a sentence finds pictures, by inner product of features.
Three protocols, because a benchmark's sentences repeat (FashionSynthesis: 4,004 over 78,979 pictures):

``pair``   the one right answer of a row is that row's own partner, as in the CLIP papers. Pictures that share
           a sentence cannot be told apart by it, so even a perfect model stays below 1: its *ceiling* is
           mean(min(k, m) / m) over rows, m the number of rows with the same sentence.
``sentence``  any picture of a sentence is a right answer to it (one query per distinct sentence), and a
           picture ranks the distinct sentences (one query per picture). The ceiling is 1.
``group``  as ``sentence``, but any sentence of the same group, and any picture of one, is right.

Ties are neither lost nor won: every score is its expectation when tied answers come in random order. With
``better`` wrong answers above the best right one, and ``tied`` answers at its level of which ``right`` are
right, the first right one stands at better + (tied + 1) / (right + 1), and the first k hold it with the
hypergeometric probability 1 - C(tied - right, s) / C(tied, s), s = k - better draws. Chance and ceiling are
the same formula: all answers tied, and only the indistinguishable ones tied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fsynth.errors import ScoreError

AT = (1, 5, 10)
"""The k of recall at k."""

PROTOCOLS = ("group", "sentence", "pair")
DIRECTIONS = ("text_to_image", "image_to_text")

Scores = dict[str, dict[str, dict[str, float]]]
"""protocol -> direction -> name -> number."""

_SIMILARITIES_AT_ONCE = 2**24


@dataclass(frozen=True)
class Places:
    """Where the best right answer of each query stands; three int64 tensors of shape (queries,).

    Attributes:
        better: wrong answers strictly above it.
        tied: answers exactly at its level, itself included.
        right: how many of the tied ones are right, at least 1.
    """

    better: Tensor
    tied: Tensor
    right: Tensor

    def ranks(self) -> Tensor:
        """Expected rank of the first right answer, ties in random order; (queries,) float64, 1 is best."""
        return self.better + (self.tied + 1).double() / (self.right + 1)

    def recall(self, k: int) -> Tensor:
        """Probability that the first k answers hold a right one; (queries,) float64 in [0, 1]."""
        draws = (k - self.better).clamp(min=0)
        missed = torch.ones_like(self.better, dtype=torch.float64)
        for drawn in range(k):
            left = (self.tied - drawn).clamp(min=1)
            wrong = (self.tied - self.right - drawn).clamp(min=0)
            missed = torch.where(draws > drawn, missed * wrong / left, missed)
        return 1 - missed


Ranking = Mapping[str, Mapping[str, Places]]
"""protocol -> direction -> places."""


def pair_places(images: Tensor, captions: Tensor, sentence: Tensor) -> dict[str, Places]:
    """Places of each row's own partner among all N partners, by direction.

    Args:
        images: (N, D) picture features of unit length.
        captions: (M, D) features of the distinct captions, encoded once each.
        sentence: (N,) int64, the caption of each row; every caption has a row.

    Raises:
        ScoreError: shapes that do not fit, or features that are not numbers.
    """
    images, captions = _checked(images, captions, sentence)
    rows_of = torch.bincount(sentence, minlength=len(captions))
    to_text = []
    for rows in _chunks(len(images), len(captions)):
        level = _similarities(images[rows], captions)
        own = level.gather(1, sentence[rows, None])
        better = ((level > own) * rows_of).sum(1)
        to_text.append((better, ((level == own) * rows_of).sum(1), torch.ones_like(better)))
    to_image = []
    for rows in _chunks(len(images), len(images)):
        level = _similarities(captions[sentence[rows]], images)
        own = level.diagonal(offset=rows.start)[:, None]
        better = (level > own).sum(1)
        to_image.append((better, (level == own).sum(1), torch.ones_like(better)))
    return {"text_to_image": _joined(to_image), "image_to_text": _joined(to_text)}


def group_places(images: Tensor, captions: Tensor, sentence: Tensor, group: Tensor) -> dict[str, Places]:
    """Places of the best right answer: any picture of a caption's group (M queries), any caption of a
    picture's group (N queries).

    Args:
        images, captions, sentence: as in `pair_places`.
        group: (M,) int64, the group of each caption.
    """
    images, captions = _checked(images, captions, sentence)
    rows = group[sentence]
    to_text = [
        _best(_similarities(images[some], captions), rows[some, None] == group[None, :])
        for some in _chunks(len(images), len(captions))
    ]
    to_image = [
        _best(_similarities(captions[some], images), group[some, None] == rows[None, :])
        for some in _chunks(len(captions), len(images))
    ]
    return {"text_to_image": _joined(to_image), "image_to_text": _joined(to_text)}


def _best(level: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    best = level.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    tied = level == best
    return (level > best).sum(1), tied.sum(1), (tied & right).sum(1)


def chance_places(sentence: Tensor, group: Tensor, protocol: str) -> dict[str, Places]:
    """The places a model that knows nothing gives: all answers tied."""
    ones = torch.ones_like(sentence)
    if protocol == "pair":
        blind = Places(ones * 0, ones * len(sentence), ones)
        return {"text_to_image": blind, "image_to_text": blind}
    if protocol == "sentence":
        group = torch.arange(len(group))
    pictures, captions = torch.bincount(group[sentence]), torch.bincount(group)
    to_image = Places(group * 0, torch.full_like(group, len(sentence)), pictures[group])
    to_text = Places(ones * 0, ones * len(group), captions[group[sentence]])
    return {"text_to_image": to_image, "image_to_text": to_text}


def ceiling_places(sentence: Tensor) -> Places:
    """The places a perfect model gives in the ``pair`` protocol: rows with the same caption tied."""
    rows_of = torch.bincount(sentence)[sentence]
    return Places(torch.zeros_like(sentence), rows_of, torch.ones_like(sentence))


def evaluate(
    images: Tensor, captions: Tensor, sentence: Tensor, group: Tensor
) -> dict[str, dict[str, Places]]:
    """The places of all queries: protocol -> direction -> `Places`, from which `scores` are taken.

    Args:
        images: (N, D) picture features of unit length.
        captions: (M, D) features of the distinct captions, encoded once each.
        sentence: (N,) int64, the caption of each row; every caption has a row.
        group: (M,) int64, the group of each caption, from 0.

    Raises:
        ScoreError: shapes that do not fit, or features that are not numbers.
    """
    return {
        "pair": pair_places(images, captions, sentence),
        "sentence": group_places(images, captions, sentence, torch.arange(len(group))),
        "group": group_places(images, captions, sentence, group),
    }


def scores(places: Ranking) -> Scores:
    """All scores: protocol -> direction -> ``recall@k``, ``median_rank``, ``mean_rank``.

    Ranks count from 1, recalls are in [0, 1].
    """
    return {
        protocol: {direction: summary(by[direction]) for direction in DIRECTIONS}
        for protocol, by in places.items()
    }


def bounds(sentence: Tensor, group: Tensor) -> Scores:
    """What `scores` lie between: protocol -> direction -> ``chance@k`` and ``ceiling@k``."""
    perfect = ceiling_places(sentence)
    result: Scores = {}
    for protocol in PROTOCOLS:
        blind = chance_places(sentence, group, protocol)
        result[protocol] = {}
        for direction in DIRECTIONS:
            numbers = {f"chance@{k}": float(blind[direction].recall(k).mean()) for k in AT}
            for k in AT:
                numbers[f"ceiling@{k}"] = float(perfect.recall(k).mean()) if protocol == "pair" else 1.0
            result[protocol][direction] = numbers
    return result


def summary(places: Places) -> dict[str, float]:
    """``recall@k`` for k of `AT`, ``median_rank`` and ``mean_rank`` over the queries."""
    ranks = places.ranks()
    numbers = {f"recall@{k}": float(places.recall(k).mean()) for k in AT}
    return numbers | {"median_rank": float(ranks.quantile(0.5)), "mean_rank": float(ranks.mean())}


def _similarities(queries: Tensor, answers: Tensor) -> Tensor:
    """(Q, A) float32. Summed in float64 and rounded once, so that equal features give equal similarities.

    A float32 product depends in its last bit on the place of a row in its block, which breaks ties at random;
    half precision makes ties of its own (5,000 x 5,000 bfloat16 cosines take only about 280 values).
    """
    return (queries @ answers.T).float()


def _checked(images: Tensor, captions: Tensor, sentence: Tensor) -> tuple[Tensor, Tensor]:
    if images.ndim != 2 or captions.ndim != 2 or images.shape[1] != captions.shape[1]:
        raise ScoreError(
            f"retrieval: picture features {tuple(images.shape)} and caption features {tuple(captions.shape)} "
            "do not fit; both must be (rows, width) with one width"
        )
    if sentence.shape != images.shape[:1] or not torch.equal(sentence.unique(), torch.arange(len(captions))):
        raise ScoreError(
            f"retrieval: {len(images)} pictures and {len(captions)} captions, but the caption of each "
            "picture is not given once, or a caption has no picture"
        )
    if not (images.isfinite().all() and captions.isfinite().all()):
        raise ScoreError("retrieval: some features are not finite; the model has diverged (try a lower --lr)")
    return images.detach().cpu().double(), captions.detach().cpu().double()


def _chunks(queries: int, answers: int) -> list[slice]:
    size = max(1, _SIMILARITIES_AT_ONCE // max(1, answers))
    return [slice(start, min(start + size, queries)) for start in range(0, queries, size)]


def _joined(parts: list[tuple[Tensor, Tensor, Tensor]]) -> Places:
    return Places(*(torch.cat(column) for column in zip(*parts, strict=True)))
