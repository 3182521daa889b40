"""Retrieval scores that stay true when captions repeat: ranks, recall at k, ceilings and chance.

Pure tensor functions. A picture finds sentences and a sentence finds pictures, by inner product of features.
Two protocols, because a benchmark's sentences repeat (FashionSynthesis: 4,004 over 78,979 pictures):

``pair``   the one right answer of a row is that row's own partner, as in the CLIP papers. Pictures that share
           a sentence cannot be told apart by it, so even a perfect model stays below 1: its *ceiling* is
           mean(min(k, m) / m) over rows, m the number of rows with the same sentence.
``group``  any picture of a sentence is a right answer to it (one query per distinct sentence), and a picture
           ranks the distinct sentences (one query per picture). The ceiling is 1.

Ties are neither lost nor won: every score is its expectation when tied answers come in random order. With
``better`` wrong answers above the best right one, and ``tied`` answers at its level of which ``right`` are
right, the first right one stands at better + (tied + 1) / (right + 1), and the first k hold it with the
hypergeometric probability 1 - C(tied - right, s) / C(tied, s), s = k - better draws. Chance and ceiling are
the same formula: all answers tied, and only the indistinguishable ones tied.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fsynth.errors import ScoreError

AT = (1, 5, 10)
"""The k of recall at k."""

DIRECTIONS = ("text_to_image", "image_to_text")
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


def caption_groups(captions: Sequence[str]) -> tuple[list[str], Tensor]:
    """Distinct captions and the group of each row.

    Captions are the same when they differ in case, width of characters, spacing or the final full stop only.

    Returns:
        The first spelling of each distinct caption, in order of appearance, and int64 (N,) indices into them.
    """
    index: dict[str, int] = {}
    distinct: list[str] = []
    groups = torch.empty(len(captions), dtype=torch.int64)
    for row, caption in enumerate(captions):
        key = " ".join(unicodedata.normalize("NFKC", caption).casefold().rstrip(" .").split())
        if key not in index:
            index[key] = len(distinct)
            distinct.append(caption)
        groups[row] = index[key]
    return distinct, groups


def pair_places(images: Tensor, captions: Tensor, groups: Tensor) -> dict[str, Places]:
    """Places of each row's own partner among all N partners, by direction.

    Args:
        images: (N, D) picture features of unit length.
        captions: (M, D) features of the distinct captions, encoded once each.
        groups: (N,) int64, the caption of each row; every caption has a row.

    Raises:
        ScoreError: shapes that do not fit, or features that are not numbers.
    """
    images, captions = _checked(images, captions, groups)
    rows_of = torch.bincount(groups, minlength=len(captions))
    to_text = []
    for rows in _chunks(len(images), len(captions)):
        level = _similarities(images[rows], captions)
        own = level.gather(1, groups[rows, None])
        better = ((level > own) * rows_of).sum(1)
        to_text.append((better, ((level == own) * rows_of).sum(1), torch.ones_like(better)))
    to_image = []
    for rows in _chunks(len(images), len(images)):
        level = _similarities(captions[groups[rows]], images)
        own = level.diagonal(offset=rows.start)[:, None]
        better = (level > own).sum(1)
        to_image.append((better, (level == own).sum(1), torch.ones_like(better)))
    return {"text_to_image": _joined(to_image), "image_to_text": _joined(to_text)}


def group_places(images: Tensor, captions: Tensor, groups: Tensor) -> dict[str, Places]:
    """Places of the best right answer: any picture of a caption (M queries), a picture's caption (N queries).

    Arguments and errors as in `pair_places`.
    """
    images, captions = _checked(images, captions, groups)
    to_text = []
    for rows in _chunks(len(images), len(captions)):
        level = _similarities(images[rows], captions)
        own = level.gather(1, groups[rows, None])
        better = (level > own).sum(1)
        to_text.append((better, (level == own).sum(1), torch.ones_like(better)))
    to_image = []
    for some in _chunks(len(captions), len(images)):
        level = _similarities(captions[some], images)
        right = groups == torch.arange(some.start, some.stop)[:, None]
        best = level.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
        tied = level == best
        to_image.append(((level > best).sum(1), tied.sum(1), (tied & right).sum(1)))
    return {"text_to_image": _joined(to_image), "image_to_text": _joined(to_text)}


def chance_places(groups: Tensor, protocol: str) -> dict[str, Places]:
    """The places a model that knows nothing gives: all answers tied."""
    rows_of = torch.bincount(groups)
    ones = torch.ones_like(groups)
    if protocol == "pair":
        blind = Places(ones * 0, ones * len(groups), ones)
        return {"text_to_image": blind, "image_to_text": blind}
    to_image = Places(rows_of * 0, torch.full_like(rows_of, len(groups)), rows_of)
    return {"text_to_image": to_image, "image_to_text": Places(ones * 0, ones * len(rows_of), ones)}


def ceiling_places(groups: Tensor) -> Places:
    """The places a perfect model gives in the ``pair`` protocol: rows with the same caption tied."""
    rows_of = torch.bincount(groups)[groups]
    return Places(torch.zeros_like(groups), rows_of, torch.ones_like(groups))


def evaluate(images: Tensor, captions: Tensor, groups: Tensor) -> dict[str, dict[str, Places]]:
    """The places of all queries: protocol -> direction -> `Places`, from which `scores` are taken.

    Arguments and errors as in `pair_places`.
    """
    return {"pair": pair_places(images, captions, groups), "group": group_places(images, captions, groups)}


def scores(places: Mapping[str, Mapping[str, Places]]) -> dict[str, dict[str, dict[str, float]]]:
    """All scores: protocol -> direction -> ``recall@k``, ``median_rank``, ``mean_rank``.

    Ranks count from 1, recalls are in [0, 1].
    """
    return {
        protocol: {direction: summary(by[direction]) for direction in DIRECTIONS}
        for protocol, by in places.items()
    }


def bounds(groups: Tensor) -> dict[str, dict[str, dict[str, float]]]:
    """What `scores` lie between: protocol -> direction -> ``chance@k`` and ``ceiling@k``."""
    perfect = ceiling_places(groups)
    result: dict[str, dict[str, dict[str, float]]] = {}
    for protocol in ("pair", "group"):
        blind = chance_places(groups, protocol)
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


def _checked(images: Tensor, captions: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    if images.ndim != 2 or captions.ndim != 2 or images.shape[1] != captions.shape[1]:
        raise ScoreError(
            f"retrieval: picture features {tuple(images.shape)} and caption features {tuple(captions.shape)} "
            "do not fit; both must be (rows, width) with one width"
        )
    if groups.shape != images.shape[:1] or not torch.equal(groups.unique(), torch.arange(len(captions))):
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
