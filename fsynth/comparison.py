"""Whether one model is better than another, and whether that many held-out rows can show it.

Both models answer the same queries, so they are compared query by query: what makes a query hard for both
cancels out. Of retrieval models the number compared is the *mean group recall*: the mean of recall@k over k
of `retrieval.AT` and both directions, any picture of a caption being right.

Its interval is a bootstrap over captions. A caption is drawn with all its queries, its own and those of its
pictures, because they succeed and fail together. Plain percentiles promise too much when captions are few,
so the tails are those of Student's t, with as many captions as their unequal numbers of rows are worth, and a
verdict needs at least `LEAST_CHANGED` captions that changed. Of simulated models that differ by chance alone,
3 to 8 in 100 are told apart (5 are meant to be). The interval covers other sentences; it does not cover
another seed of training, nor that pictures of one garment may be alike under several sentences.

Losses of generative models are compared row by row, by Student's t on the differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from fsynth.caption_groups import CaptionGroups
from fsynth.retrieval import AT, Places, Ranking

CONFIDENCE = 0.95
DRAWS = 2000
SEED = 0
LEAST_CHANGED = 6
"""With five changed captions, chance alone turns all of them the same way in 1 of 16 comparisons."""

_NUMBERS_AT_ONCE = 2**22

Verdict = Literal["better", "worse", "unclear"]


@dataclass(frozen=True)
class Comparison:
    """Mean group recall of two models on the same rows; all shares are in [0, 1].

    ``difference`` is ``model_recall - baseline_recall``; ``low`` and ``high`` enclose it with ``confidence``.
    ``verdict`` is about the model: ``unclear`` where the rows cannot show a difference.
    """

    baseline: str
    model: str
    baseline_recall: float
    model_recall: float
    difference: float
    low: float
    high: float
    verdict: Verdict
    rows: int
    captions: int
    changed_captions: int
    confidence: float = CONFIDENCE
    draws: int = DRAWS
    seed: int = SEED

    def record(self) -> dict[str, Any]:
        """Plain values for scores.json."""
        return {**asdict(self), "text": self.text()}

    def text(self) -> str:
        """The verdict and what it rests on, in one line."""
        verdicts = {
            "better": f"{self.model} is better than {self.baseline}",
            "worse": f"{self.model} is WORSE than {self.baseline}",
            "unclear": f"{self.model} and {self.baseline}: no difference that {self.rows:,} rows can show",
        }
        low, high, points = (f"{100 * share:+.1f}" for share in (self.low, self.high, self.difference))
        return (
            f"{verdicts[self.verdict]}: mean group recall {self.baseline_recall:.1%} -> "
            f"{self.model_recall:.1%}, {points} points ({self.confidence:.0%} interval {low} to {high}, from "
            f"{self.rows:,} rows with {self.captions:,} captions)"
        )


def compare(
    baseline: str, first: Ranking, model: str, second: Ranking, captions: CaptionGroups
) -> Comparison:
    """Compare the places that two models give the same queries.

    Args:
        baseline, model: their names.
        first, second: their places.
        captions: of the rows, as they were for both.
    """
    before, after = _recalls(first), _recalls(second)
    groups = captions.sentence
    text = after[0] - before[0]
    rows = torch.bincount(groups).double()
    pictures = torch.bincount(groups, weights=after[1] - before[1])
    changed = (text != 0) | (torch.bincount(groups, weights=(after[1] - before[1]).abs()) != 0)
    low, high = interval(_resampled(text, pictures, rows), float(rows.sum() ** 2 / rows.square().sum()))
    headlines = [float(sum(recall.mean() for recall in recalls) / 2) for recalls in (before, after)]
    return Comparison(
        baseline=baseline,
        model=model,
        baseline_recall=headlines[0],
        model_recall=headlines[1],
        difference=headlines[1] - headlines[0],
        low=low,
        high=high,
        verdict=judge(low, high, int(changed.sum())),
        rows=len(groups),
        captions=len(rows),
        changed_captions=int(changed.sum()),
    )


def judge(low: float, high: float, changed: int) -> Verdict:
    """What an interval of a difference says.

    Args:
        changed: captions, or other clusters, in which the two models differ at all.
    """
    if changed < LEAST_CHANGED or low <= 0 <= high:
        return "unclear"
    return "better" if low > 0 else "worse"


def _recalls(places: Ranking) -> tuple[Tensor, Tensor]:
    """Mean over k of each query's recall: (captions,) of sentence -> picture, (rows,) of the way back."""
    to_image, to_text = (places["group"][name] for name in ("text_to_image", "image_to_text"))
    return _mean_recall(to_image), _mean_recall(to_text)


def _mean_recall(places: Places) -> Tensor:
    return torch.stack([places.recall(k) for k in AT]).mean(0)


def _resampled(text: Tensor, pictures: Tensor, rows: Tensor) -> Tensor:
    """(DRAWS,) differences of mean group recall over captions drawn with replacement.

    Args:
        text: (captions,) difference of the caption's own query.
        pictures: (captions,) sum of the differences of its pictures' queries.
        rows: (captions,) how many these are.
    """
    generator = torch.Generator().manual_seed(SEED)
    parts = []
    for some in torch.arange(DRAWS).split(max(1, _NUMBERS_AT_ONCE // len(text))):
        drawn = torch.randint(len(text), (len(some), len(text)), generator=generator)
        parts.append((text[drawn].mean(1) + pictures[drawn].sum(1) / rows[drawn].sum(1)) / 2)
    return torch.cat(parts)


def resampled_means(sums: Tensor, sizes: Tensor) -> Tensor:
    """(DRAWS,) means over rows whose clusters are drawn with replacement.

    Args:
        sums: (clusters,) of the number in question over the rows of each.
        sizes: (clusters,) rows of each.
    """
    generator = torch.Generator().manual_seed(SEED)
    parts = []
    for some in torch.arange(DRAWS).split(max(1, _NUMBERS_AT_ONCE // len(sums))):
        drawn = torch.randint(len(sums), (len(some), len(sums)), generator=generator)
        parts.append(sums[drawn].sum(1) / sizes[drawn].sum(1))
    return torch.cat(parts)


def interval(differences: Tensor, captions: float) -> tuple[float, float]:
    """Percentiles that are as far out as Student's t is for so few captions.

    Args:
        captions: their effective number, (sum of rows)^2 / sum of rows^2.
    """
    from scipy import stats

    if captions < 2:
        return -1.0, 1.0  # one caption says nothing about others
    widened = math.sqrt(captions / (captions - 1)) * stats.t.ppf((1 - CONFIDENCE) / 2, captions - 1)
    tail = float(stats.norm.cdf(widened))
    low, high = differences.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


@dataclass(frozen=True)
class LossComparison:
    """Mean losses of a model before and after training, on the same rows with the same noise.

    ``low`` and ``high`` enclose ``after - before`` with ``confidence``; ``verdict`` is about the trained one.
    """

    before: float
    after: float
    low: float
    high: float
    verdict: Verdict
    rows: int
    confidence: float = CONFIDENCE

    def text(self) -> str:
        """The verdict and what it rests on, in one line."""
        verdicts = {
            "better": "the fine-tuned model is better on held-out rows",
            "worse": "the fine-tuned model is WORSE on held-out rows than before",
            "unclear": f"no difference that {self.rows:,} held-out rows can show{self._too_few()}",
        }
        change, low, high = (
            f"{100 * share / self.before:+.2f}" for share in (self.after - self.before, self.low, self.high)
        )
        return (
            f"{verdicts[self.verdict]}: validation loss {self.before:.5f} before, {self.after:.5f} after, "
            f"{change} % ({self.confidence:.0%} interval {low} to {high} %, from {self.rows:,} rows, same "
            "noise and timesteps)"
        )

    def _too_few(self) -> str:
        return f" (a verdict takes {LEAST_CHANGED} rows at least)" if self.rows < LEAST_CHANGED else ""


def compare_losses(before: Sequence[float], after: Sequence[float]) -> LossComparison:
    """Compare the losses that two models have on the same rows, in the same order."""
    from scipy import stats

    first, second = (torch.tensor(losses, dtype=torch.float64) for losses in (before, after))
    differences = second - first
    mean, rows = differences.mean().item(), len(differences)
    reach = math.inf
    if rows > 1:
        error = differences.std().item() / math.sqrt(rows)
        reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, rows - 1)) * error
    low, high = mean - reach, mean + reach
    verdict: Verdict = "unclear"
    if rows >= LEAST_CHANGED and (low > 0 or high < 0):
        verdict = "worse" if low > 0 else "better"
    return LossComparison(first.mean().item(), second.mean().item(), low, high, verdict, rows)
