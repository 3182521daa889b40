"""The order of a training run: which rows form which global batch, and each process' share of it.

Everything is a function of (seed, epoch, start): no state to store, so a run resumes exactly, and the
global batch is formed first and sliced by rank, so the number of processes never changes it. Every
epoch covers every row once; the last batch of an epoch may be smaller and keeps its own mean.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from fsynth.keyed import seed_of


@dataclass(frozen=True)
class Pick:
    """One place in a micro-batch: what a training data set is indexed with.

    Attributes:
        index: position in the data set, from 0.
        epoch: from 0; with the row it keys every random draw.
        weight: ``world / rows of the global batch``, or 0 for padding. The sum of (per-row loss x weight),
            averaged over processes as DDP averages gradients, is the mean over the global batch.
    """

    index: int
    epoch: int
    weight: float


@dataclass(frozen=True)
class MicroBatch:
    """One forward and backward pass of one process."""

    picks: tuple[Pick, ...]
    step: int
    part: int
    """number of this micro-batch within its step"""
    epoch: int
    rows: int
    """rows of the whole global batch"""
    ends_step: bool
    ends_epoch: bool


@dataclass(frozen=True)
class Order:
    """The plan of a run for one process.

    Args:
        rows: rows of the training set, at least 1.
        batch_size: rows per optimizer step over all processes; more than ``rows`` counts as ``rows``.
        micro_batch: most rows a process holds at once; None holds its whole share.
    """

    rows: int
    batch_size: int
    epochs: int
    seed: int
    rank: int = 0
    world: int = 1
    micro_batch: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.rows // min(self.batch_size, self.rows))

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.steps_per_epoch * self.epochs

    def from_step(self, start: int) -> Iterator[MicroBatch]:
        """The micro-batches of this process from optimizer step ``start`` to the end."""
        for step in range(start, self.steps):
            yield from self._step(step)

    def _step(self, step: int) -> Iterator[MicroBatch]:
        epoch, place = divmod(step, self.steps_per_epoch)
        size = min(self.batch_size, self.rows)
        batch = epoch_order(self.rows, self.seed, epoch)[place * size : (place + 1) * size]
        share = self._share(batch, epoch)
        length = self.micro_batch or len(share)
        for part, start in enumerate(range(0, len(share), length)):
            ends = start + length >= len(share)
            yield MicroBatch(
                picks=share[start : start + length],
                step=step,
                part=part,
                epoch=epoch,
                rows=len(batch),
                ends_step=ends,
                ends_epoch=ends and place == self.steps_per_epoch - 1,
            )

    def _share(self, batch: list[int], epoch: int) -> tuple[Pick, ...]:
        """This rank's slice, padded with weight 0 so that all ranks have the same length."""
        length = -(-len(batch) // self.world)
        mine = batch[self.rank * length : (self.rank + 1) * length]
        weight = self.world / len(batch)
        picks = [Pick(index, epoch, weight) for index in mine]
        return tuple(picks + [Pick(batch[0], epoch, 0.0)] * (length - len(mine)))


@functools.lru_cache(maxsize=2)  # a large set is shuffled once an epoch, not at each step
def epoch_order(rows: int, seed: int, epoch: int) -> list[int]:
    """The shuffled row positions of one epoch, a function of (rows, seed, epoch)."""
    import torch

    generator = torch.Generator().manual_seed(seed_of(seed, "order", epoch))
    return torch.randperm(rows, generator=generator).tolist()


def choose_rows(
    rows: int, wanted: int | None, seed: int, strata: Sequence[Hashable] | None = None
) -> list[int]:
    """A seeded draw of ``wanted`` of ``rows`` positions, sorted, never just the first; None takes all.

    Args:
        strata: label of each position; the draw then has each label's share, to within one row.
    """
    if wanted is None:
        return list(range(rows))
    import torch

    generator = torch.Generator().manual_seed(seed_of(seed, "subset"))
    order = torch.randperm(rows, generator=generator).tolist()
    if strata is None:
        return sorted(order[:wanted])
    left = _quotas(strata, min(wanted, rows))
    chosen = []
    for position in order:
        if left[strata[position]]:
            left[strata[position]] -= 1
            chosen.append(position)
    return sorted(chosen)


def _quotas(strata: Sequence[Hashable], wanted: int) -> dict[Hashable, int]:
    """Rows of each label: its exact share rounded down, then one more for the largest remainders."""
    counts = Counter(strata)
    quotas = {label: count * wanted // len(strata) for label, count in counts.items()}
    by_remainder = sorted(counts, key=lambda label: -(counts[label] * wanted % len(strata)))
    for label in by_remainder[: wanted - sum(quotas.values())]:
        quotas[label] += 1
    return quotas
