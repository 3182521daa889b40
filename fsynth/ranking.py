"""From features to places: every right answer's rank among all answers, in chunks, each query asked once.

Similarities are summed in float64 and rounded once to float32, so that equal features give equal
similarities. A float32 product depends in its last bit on the place of a row in its block, which breaks ties
at random; half precision makes ties of its own (5,000 x 5,000 bfloat16 cosines take only about 280 values).

Answers are never put in order. The similarities of a query are sorted as bare numbers (an order of magnitude
faster than with their places), and each right answer is looked up in them by bisection. A sentence is asked
once however often it repeats: the row of its similarities serves all its pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fsynth.errors import ScoreError
from fsynth.retrieval import Places, expected_precision, expected_share

_NUMBERS_AT_ONCE = 2**24
_NUMBERS_A_RIGHT_ANSWER = 16
"""What is kept of each while a chunk is ranked, in units of a similarity."""

Similarities = Callable[[slice], Tensor]
"""Some queries -> (queries, answers) float32, which the ranking may overwrite."""

Advance = Callable[[int], object]


def rank(
    pictures: Tensor, captions: Tensor, sentence: Tensor, group: Tensor, advance: Advance = bool
) -> dict[str, dict[str, Places]]:
    """The places of all queries: protocol -> direction -> `Places`.

    Args:
        pictures: (N, D) features of unit length.
        captions: (M, D) features of the distinct captions, encoded once each.
        sentence: (N,) int64, the caption of each row; every caption has a row.
        group: (M,) int64, the group of each caption, from 0.
        advance: is called with the number of queries, M + N in all, that have been ranked.

    Raises:
        ScoreError: shapes that do not fit, or features that are not numbers.
    """
    _check(pictures, captions, sentence, group)
    pictures, captions = (features.detach().cpu().double() for features in (pictures, captions))
    return _rank(
        lambda some: (captions[some] @ pictures.T).float(),
        lambda rows: (pictures[rows] @ captions.T).float(),
        _Rows.of(sentence, group),
        advance,
    )


def rank_similarities(level: Tensor, sentence: Tensor, group: Tensor) -> dict[str, dict[str, Places]]:
    """As `rank`, from the (N, M) float32 similarities of pictures and distinct captions."""
    return _rank(
        lambda some: level[:, some].T.contiguous(),
        lambda rows: level[rows].clone(),
        _Rows.of(sentence, group),
        bool,
    )


@dataclass(frozen=True)
class _Members:
    """The members of classes: those of class c are ``order[start[c] : start[c] + count[c]]``."""

    order: Tensor
    start: Tensor
    count: Tensor

    @staticmethod
    def of(classes: Tensor) -> _Members:
        count = torch.bincount(classes)
        return _Members(classes.argsort(stable=True), count.cumsum(0) - count, count)

    def __getitem__(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """(classes, most) members of each, and which of these are there."""
        count = self.count[classes, None]
        place = torch.arange(int(count.max()))
        there = place < count
        return self.order[(self.start[classes, None] + place).where(there, 0)], there


@dataclass(frozen=True)
class _Rows:
    """Which picture belongs to which caption, and caption to which group, looked up either way."""

    sentence: Tensor
    group: Tensor
    pictures: _Members
    """of each caption"""
    alike: _Members
    """pictures of each group"""
    captions: _Members
    """of each group"""

    @staticmethod
    def of(sentence: Tensor, group: Tensor) -> _Rows:
        row_groups = group[sentence]
        return _Rows(sentence, group, *map(_Members.of, (sentence, row_groups, group)))


def _rank(
    by_caption: Similarities, by_picture: Similarities, rows: _Rows, advance: Advance
) -> dict[str, dict[str, Places]]:
    to_image: list[tuple[Places, ...]] = []
    own = torch.empty(2, len(rows.sentence), dtype=torch.int64)
    for some in _chunks(len(rows.group), len(rows.sentence), int(rows.alike.count.max())):
        to_image.append(_pictures_of(by_caption(some), some, rows, own))
        advance(some.stop - some.start)
    to_text = []
    for some in _chunks(len(rows.sentence), len(rows.group), int(rows.captions.count.max())):
        to_text.append(_captions_of(by_picture(some), some, rows))
        advance(some.stop - some.start)
    sentence_image, group_image = (_joined(parts) for parts in zip(*to_image, strict=True))
    sentence_text, group_text, pair_text = (_joined(parts) for parts in zip(*to_text, strict=True))
    pair_image = Places.of_one_level(*own, torch.ones_like(rows.sentence))
    return {
        "pair": {"text_to_image": pair_image, "image_to_text": pair_text},
        "sentence": {"text_to_image": sentence_image, "image_to_text": sentence_text},
        "group": {"text_to_image": group_image, "image_to_text": group_text},
    }


def _pictures_of(level: Tensor, some: slice, rows: _Rows, own: Tensor) -> tuple[Places, Places]:
    """Places by sentence and by group of some captions' queries.

    Args:
        level: (captions, N), is overwritten.
        own: (2, N), is filled in: answers above each of the captions' pictures, and at its level.
    """
    captions = torch.arange(some.start, some.stop)
    pictures, there = rows.pictures[captions]
    alike, alike_there = rows.alike[rows.group[captions]]
    values, alike_values = level.gather(1, pictures), level.gather(1, alike)
    level.numpy().sort(axis=1)
    better, tied = _count(level, values)
    own[0, pictures[there]], own[1, pictures[there]] = better[there], tied[there]
    return _places(values, there, better, tied), _places(
        alike_values, alike_there, *_count(level, alike_values)
    )


def _captions_of(level: Tensor, some: slice, rows: _Rows) -> tuple[Places, Places, Places]:
    """Places by sentence, by group and by pair of some pictures' queries.

    Args:
        level: (pictures, M), is overwritten.
    """
    own = rows.sentence[some, None]
    alike, there = rows.captions[rows.group[own[:, 0]]]
    value, values = level.gather(1, own), level.gather(1, alike)
    of_rows = _count_rows(level, value, rows.pictures.count)
    level.numpy().sort(axis=1)
    (better, tied), one = _count(level, value), torch.ones(len(own), dtype=torch.int64)
    pair = Places.of_one_level(*(of_rows or (better[:, 0], tied[:, 0])), one)
    sentence = Places.of_one_level(better[:, 0], tied[:, 0], one)
    return sentence, _places(values, there, *_count(level, values)), pair


def _count(ordered: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """How many of a row's numbers, which rise, are above each value, and equal to it; int64 as values."""
    high = torch.searchsorted(ordered, values, right=True)
    return ordered.shape[1] - high, high - torch.searchsorted(ordered, values)


def _count_rows(level: Tensor, value: Tensor, rows_of: Tensor) -> tuple[Tensor, Tensor] | None:
    """The same where caption c counts as ``rows_of[c]`` answers; None where all count once."""
    if int(rows_of.max()) == 1:
        return None
    weight = rows_of.float()  # whole numbers, exact up to 16 million rows
    better, above = (torch.mv(found.float(), weight).long() for found in (level > value, level >= value))
    return better, above - better


def _places(values: Tensor, there: Tensor, better: Tensor, tied: Tensor) -> Places:
    """Places of queries from their right answers.

    Args:
        values: (queries, most) similarity of each right answer.
        there: which of these are answers, and not padding.
        better, tied: answers of any kind above each, and at its level.
    """
    values = values.masked_fill(~there, -torch.inf)
    right_better, right = _count(values.sort(dim=1).values, values)
    best = values.argmax(1, keepdim=True)
    precision = expected_precision(better, tied, right_better, right).where(there, 0).sum(1)
    positives = there.sum(1)
    return Places(
        *(counts.gather(1, best)[:, 0] for counts in (better, tied, right)),
        positives=positives,
        precision=precision / positives,
        found=expected_share(better, tied).where(there[..., None], 0).sum(1),
    )


def _joined(parts: tuple[Places, ...]) -> Places:
    names = Places.__dataclass_fields__
    return Places(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _chunks(queries: int, answers: int, right: int) -> list[slice]:
    """Slices of the queries, small enough for what a chunk takes.

    Args:
        right: most right answers of a query.
    """
    size = max(1, _NUMBERS_AT_ONCE // (answers + _NUMBERS_A_RIGHT_ANSWER * right))
    return [slice(start, min(start + size, queries)) for start in range(0, queries, size)]


def _check(pictures: Tensor, captions: Tensor, sentence: Tensor, group: Tensor) -> None:
    if pictures.ndim != 2 or captions.ndim != 2 or pictures.shape[1] != captions.shape[1]:
        raise ScoreError(
            f"retrieval: picture features {tuple(pictures.shape)} and caption features "
            f"{tuple(captions.shape)} do not fit; both must be (rows, width) with one width"
        )
    if sentence.shape != pictures.shape[:1] or not torch.equal(
        sentence.unique(), torch.arange(len(captions))
    ):
        raise ScoreError(
            f"retrieval: {len(pictures)} pictures and {len(captions)} captions, but the caption of each "
            "picture is not given once, or a caption has no picture"
        )
    if group.shape != captions.shape[:1] or int(group.min()) < 0:
        raise ScoreError(f"retrieval: {len(captions)} captions, but the group of each is not given once")
    if not (pictures.isfinite().all() and captions.isfinite().all()):
        raise ScoreError("retrieval: some features are not finite; the model has diverged (try a lower --lr)")
