"""Scores of generated pictures: pure functions of an extractor's logits, in float64.

Inception Score: T. Salimans et al., "Improved Techniques for Training GANs" (2016), arXiv:1606.03498;
what it does not measure: S. Barratt, R. Sharma, "A Note on the Inception Score" (2018), arXiv:1801.01973.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fsynth.errors import ScoreError

SPLITS = 10
SEED = 2020  # torch-fidelity's, so that the same logits give its digits
LEAST_PICTURES = 1_000  # with 10 splits of 100, the number still follows N more than the pictures
FEW_PICTURES = 10_000


@dataclass(frozen=True)
class InceptionScore:
    """Mean and spread of the splits' scores, with what they depend on.

    ``std`` has ``ddof`` degrees of freedom taken off and is None for a single split. ``ceiling`` is the
    largest mean that this many pictures and classes could reach.
    """

    mean: float
    std: float | None
    ddof: int
    pictures: int
    classes: int
    splits: int
    smallest_split: int
    seed: int
    ceiling: float

    @property
    def is_score(self) -> bool:
        """False when the pictures are too few for the number to mean anything."""
        return self.pictures >= LEAST_PICTURES

    def record(self) -> dict[str, Any]:
        """Plain values for scores.json."""
        return {**asdict(self), "is_score": self.is_score, "note": self.note()}

    def note(self) -> str | None:
        """Why the number is not, or hardly, a score; None when there are pictures enough."""
        if not self.is_score:
            return (
                f"{self.pictures:,} pictures are too few: below {LEAST_PICTURES:,} the number follows "
                f"how many there are (here it cannot exceed {self.ceiling:.3g}) more than what they show"
            )
        if self.pictures < FEW_PICTURES:
            return f"it reads low: compare only with other scores of {self.pictures:,} pictures, split alike"
        return None

    def text(self) -> str:
        """The number, in brackets where it is not a score, and what it depends on."""
        number = f"{self.mean:.3f}" + ("" if self.std is None else f" ± {self.std:.3f}")
        splits = f"{self.splits} splits" if self.splits > 1 else "1 split"
        basis = f"[N {self.pictures:,}, {splits}, seed {self.seed}, ceiling {self.ceiling:.3g}]"
        return f"{number} {basis}" if self.is_score else f"({number}) not a score {basis}"


def inception_score(
    logits: np.ndarray, splits: int = SPLITS, seed: int = SEED, ddof: int = 0
) -> InceptionScore:
    """exp of the mean KL divergence of each picture's class distribution from its split's mean distribution.

    The pictures are shuffled (seeded), then cut into ``splits`` chunks of sizes that differ by one at most;
    fewer pictures than splits make one chunk. Digits equal torch-fidelity's at the defaults, and
    torchmetrics' at ``ddof=1`` where ``splits`` divides N and the order is the same.

    Args:
        logits: (N, classes), any float type; log-probabilities are logits too.
        ddof: 0 as in the paper's code and torch-fidelity, 1 as in torchmetrics.

    Raises:
        ScoreError: no pictures, no splits, or logits that are not finite.
    """
    logits = _checked(logits, splits)
    pictures, classes = logits.shape
    splits = splits if pictures >= splits else 1
    order = np.random.RandomState(seed).permutation(pictures)
    edges = [i * pictures // splits for i in range(splits + 1)]
    chunks = [order[a:b] for a, b in itertools.pairwise(edges)]
    log_p = logits - _logsumexp(logits, axis=1)
    values = [_chunk_score(log_p[chunk]) for chunk in chunks]
    sizes = [len(chunk) for chunk in chunks]
    return InceptionScore(
        mean=float(np.mean(values)),
        std=float(np.std(values, ddof=ddof)) if splits > 1 else None,
        ddof=ddof,
        pictures=pictures,
        classes=classes,
        splits=splits,
        smallest_split=min(sizes),
        seed=seed,
        ceiling=float(np.mean([min(size, classes) for size in sizes])),
    )


def _checked(logits: np.ndarray, splits: int) -> np.ndarray:
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 2 or 0 in logits.shape:
        raise ScoreError(f"an Inception Score needs logits (pictures, classes), got shape {logits.shape}")
    if splits < 1:
        raise ScoreError(f"an Inception Score needs at least 1 split, got {splits}")
    if not np.isfinite(logits).all():
        bad = int((~np.isfinite(logits)).any(axis=1).argmax())
        raise ScoreError(f"the logits of picture {bad} are not finite; check that picture")
    return logits


def _chunk_score(log_p: np.ndarray) -> float:
    log_q = _logsumexp(log_p, axis=0) - np.log(len(log_p))  # finite also where every p underflows to 0
    return float(np.exp((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()))


def _logsumexp(values: np.ndarray, axis: int) -> np.ndarray:
    from scipy.special import logsumexp

    return logsumexp(values, axis=axis, keepdims=True)
