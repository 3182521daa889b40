"""Whether one model is better than another, and whether that many held-out rows can show it.

Both models answer the same queries, so they are compared query by query: what makes a query hard for both
cancels out. Of retrieval models the number compared is the *mean group recall*: the mean of recall@k over k
of `score_names.AT` and both directions, any picture or sentence of the caption's group being right; beside it
stands recall@1 of each direction, with an interval of its own.

The intervals are a bootstrap over caption groups. A group is drawn with all its queries, those of its
captions and of their pictures, because they succeed and fail together. Plain percentiles promise too much
when groups are few, so the tails are those of Student's t, with as many groups as their unequal sizes are
worth, and a verdict needs at least `LEAST_CHANGED` groups that changed. Of simulated models that differ by
chance alone, 3 to 8 in 100 are told apart (5 are meant to be). The interval covers other groups of sentences;
it does not cover another seed of training.

Losses of generative models are compared row by row, by Student's t on the differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from fsynth.caption_groups import CaptionGroups
from fsynth.retrieval import Places, Ranking
from fsynth.score_names import AT, DIRECTIONS

CONFIDENCE = 0.95
DRAWS = 2000
SEED = 0
LEAST_CHANGED = 6
"""With five changed groups, chance alone turns all of them the same way in 1 of 16 comparisons."""

_NUMBERS_AT_ONCE = 2**22

Verdict = Literal["better", "worse", "unclear"]


@dataclass(frozen=True)
class Change:
    """A share in [0, 1] of two models on the same rows; ``low`` and ``high`` enclose ``after - before``."""

    before: float
    after: float
    low: float
    high: float

    def text(self) -> str:
        """Both shares, the difference and its interval."""
        low, high, points = (
            f"{100 * share:+.1f}" for share in (self.low, self.high, self.after - self.before)
        )
        shares = f"{self.before:.1%} -> {self.after:.1%}"
        return f"{shares}, {points} points ({CONFIDENCE:.0%} interval {low} to {high}"


@dataclass(frozen=True)
class Comparison:
    """Mean group recall of two models on the same rows; all shares are in [0, 1].

    ``difference`` is ``model_recall - baseline_recall``; ``low`` and ``high`` enclose it with ``confidence``.
    ``verdict`` is about the model: ``unclear`` where the rows cannot show a difference. ``recall_at_1`` is
    that of each direction, any answer of the group being right.
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
    groups: int
    changed_groups: int
    recall_at_1: dict[str, Change]
    confidence: float = CONFIDENCE
    draws: int = DRAWS
    seed: int = SEED

    def record(self) -> dict[str, Any]:
        """Plain values for scores.json."""
        return {**asdict(self), "text": self.text(), "details": self.details()}

    def text(self) -> str:
        """The verdict and what it rests on, in one line."""
        verdicts = {
            "better": f"{self.model} is better than {self.baseline}",
            "worse": f"{self.model} is WORSE than {self.baseline}",
            "unclear": f"{self.model} and {self.baseline}: no difference that {self.rows:,} rows can show",
        }
        change = Change(self.baseline_recall, self.model_recall, self.low, self.high)
        return (
            f"{verdicts[self.verdict]}: mean group recall {change.text()}, from {self.rows:,} rows with "
            f"{self.captions:,} captions in {self.groups:,} groups)"
        )

    def details(self) -> str:
        """Recall@1 of each direction, in one line."""
        ways = (f"{way.replace('_to_', ' -> ')} {change.text()})" for way, change in self.recall_at_1.items())
        return f"group recall@1: {'; '.join(ways)}"


def compare(
    baseline: str, first: Ranking, model: str, second: Ranking, captions: CaptionGroups
) -> Comparison:
    """Compare the places that two models give the same queries.

    Args:
        baseline, model: their names.
        first, second: their places.
        captions: of the rows, as they were for both.
    """
    groups = captions.group.unique(return_inverse=True)[1]
    of = (groups, groups[captions.sentence])
    sizes = torch.stack([torch.bincount(queries) for queries in of], 1).double()
    mean, at_1 = (_recalls(first, second, recall) for recall in (_mean_recall, _recall_at_1))
    sums = torch.cat([_sums(mean, of), _sums(at_1, of)], 1)
    draws = resampled_means(sums, sizes.repeat(1, 2))
    headlines = [float(sum(recall[which].mean() for recall in mean) / 2) for which in (0, 1)]
    low, high = interval(draws[:, :2].mean(1), float(_worth(sizes).min()))
    changed = int(_changed(mean, of).sum())
    return Comparison(
        baseline=baseline,
        model=model,
        baseline_recall=headlines[0],
        model_recall=headlines[1],
        difference=headlines[1] - headlines[0],
        low=low,
        high=high,
        verdict=judge(low, high, changed),
        rows=len(captions.sentence),
        captions=len(captions.sentences),
        groups=len(sizes),
        changed_groups=changed,
        recall_at_1={
            way: Change(*at_1[place].mean(1).tolist(), *interval(draws[:, 2 + place], worth))
            for place, (way, worth) in enumerate(zip(DIRECTIONS, _worth(sizes).tolist(), strict=True))
        },
    )


def judge(low: float, high: float, changed: int) -> Verdict:
    """What an interval of a difference says.

    Args:
        changed: caption groups, or other clusters, in which the two models differ at all.
    """
    if changed < LEAST_CHANGED or low <= 0 <= high:
        return "unclear"
    return "better" if low > 0 else "worse"


def _recalls(first: Ranking, second: Ranking, recall: Callable[[Places], Tensor]) -> list[Tensor]:
    """(2, queries) recall of both models in the ``group`` protocol, for each of `DIRECTIONS`."""
    return [torch.stack([recall(places["group"][way]) for places in (first, second)]) for way in DIRECTIONS]


def _mean_recall(places: Places) -> Tensor:
    return torch.stack([places.recall(k) for k in AT]).mean(0)


def _recall_at_1(places: Places) -> Tensor:
    return places.recall(1)


def _sums(recalls: Sequence[Tensor], of: Sequence[Tensor]) -> Tensor:
    """(groups, directions) sums of the differences of a group's queries.

    Args:
        recalls: (2, queries) of both models, for each direction.
        of: (queries,) the group of each query, for each direction.
    """
    pairs = zip(recalls, of, strict=True)
    return torch.stack(
        [torch.bincount(groups, weights=after - before) for (before, after), groups in pairs], 1
    )


def _changed(recalls: Sequence[Tensor], of: Sequence[Tensor]) -> Tensor:
    """(groups,) whether any query of a group is answered otherwise; arguments as of `_sums`."""
    apart = [torch.stack([torch.zeros_like(after), (after - before).abs()]) for before, after in recalls]
    return _sums(apart, of).sum(1) != 0


def resampled_means(sums: Tensor, sizes: Tensor) -> Tensor:
    """(DRAWS, ...) means over rows whose clusters are drawn with replacement, the same ones for all columns.

    Args:
        sums: (clusters, ...) of the number in question over the rows of each cluster.
        sizes: as ``sums``, rows of each.
    """
    generator, clusters = torch.Generator().manual_seed(SEED), len(sums)
    one, parts = torch.ones((), dtype=torch.float64), []
    for some in torch.arange(DRAWS).split(max(1, _NUMBERS_AT_ONCE // clusters)):
        drawn = torch.randint(clusters, (len(some), clusters), generator=generator)
        times = torch.zeros(drawn.shape, dtype=torch.float64).scatter_add_(1, drawn, one.expand(drawn.shape))
        parts.append((times @ sums.double()) / (times @ sizes.double()))
    return torch.cat(parts)


def _worth(sizes: Tensor) -> Tensor:
    """(directions,) how many groups of equal sizes these are worth: (sum of n)^2 / sum of n^2."""
    return sizes.sum(0).square() / sizes.square().sum(0)


def interval(differences: Tensor, groups: float) -> tuple[float, float]:
    """Percentiles that are as far out as Student's t is for so few groups.

    Args:
        groups: how many groups they are worth.
    """
    from scipy import stats

    if groups < 2:
        return -1.0, 1.0  # one group says nothing about others
    widened = math.sqrt(groups / (groups - 1)) * stats.t.ppf((1 - CONFIDENCE) / 2, groups - 1)
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
