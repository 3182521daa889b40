"""The order of a training run: which rows form which global batch, and each process' share of it.

Everything is a function of (seed, epoch, start): no state to store, so a run resumes exactly, and the
global batch is formed first and sliced by rank, so the number of processes never changes it. Every
epoch covers every row once; the last batch of an epoch may be smaller and keeps its own mean.

Rows may be of kinds that cannot be in one batch (`Kinds`): batches are then formed kind by kind, and their
order is drawn anew in each epoch.

Rows may come in groups that a batch should hold few of (`Groups`): the rows of a group are then dealt out
over the batches of an epoch, like cards, as evenly as they go. The number of batches is known before, so no
process waits for one that does not come; what exceeds the limit is left out of that epoch, others of the
group in the next.
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
class Groups:
    """Rows that are alike, and how many of a group a batch may hold.

    Attributes:
        of: the group of each row.
        most: rows of one group in a batch, at least 1.
    """

    of: tuple[int, ...]
    most: int

    def coverage(self, batch_size: int) -> float:
        """Share of the rows that an epoch shows."""
        batches = -(-len(self.of) // min(batch_size, len(self.of)))
        return sum(min(size, self.most * batches) for size in Counter(self.of).values()) / len(self.of)


@dataclass(frozen=True, eq=False)  # compared at every step, and as long as the data set
class Kinds:
    """Rows that differ, as pictures of different sizes do: a batch holds one kind alone.

    Attributes:
        of: the kind of each row, from 0.
    """

    of: tuple[int, ...]


@dataclass(frozen=True)
class Order:
    """The plan of a run for one process.

    Args:
        rows: rows of the training set, at least 1.
        batch_size: rows per optimizer step over all processes; more than ``rows`` counts as ``rows``.
        micro_batch: most rows a process holds at once; None holds its whole share.
        groups: deals rows that are alike out over the batches, or keeps kinds of rows apart; a batch then
            holds at most ``batch_size``.
    """

    rows: int
    batch_size: int
    epochs: int
    seed: int
    rank: int = 0
    world: int = 1
    micro_batch: int | None = None
    groups: Groups | Kinds | None = None

    @property
    def steps_per_epoch(self) -> int:
        if isinstance(self.groups, Kinds):
            return sum(map(len, lengths_of_kinds(self.groups, self.batch_size)))
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
        batch = self._batch(epoch, place)
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

    def _batch(self, epoch: int, place: int) -> list[int]:
        if isinstance(self.groups, Kinds):
            return batches_of_kinds(self.groups, self.batch_size, self.seed, epoch)[place]
        if self.groups is not None:
            return dealt_batches(self.groups, self.steps_per_epoch, self.seed, epoch)[place]
        size = min(self.batch_size, self.rows)
        return epoch_order(self.rows, self.seed, epoch)[place * size : (place + 1) * size]

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


@functools.lru_cache(maxsize=2)
def dealt_batches(groups: Groups, batches: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of one epoch: rows group after group, groups and their rows in a random order, dealt out to
    one batch after the other. So a batch has at most ``ceil(size / batches)`` of a group, batches differ in
    size by at most one, and which groups meet is drawn anew."""
    import numpy as np

    draw = np.random.default_rng(seed_of(seed, "deal", epoch))
    rows = draw.permutation(len(groups.of))
    group = np.asarray(groups.of)[rows]
    turn = draw.permutation(group.max() + 1)[group]
    rows = rows[np.argsort(turn, kind="stable")]
    turn = np.sort(turn)
    number_in_group = np.arange(len(turn)) - np.searchsorted(turn, turn)
    rows = rows[number_in_group < groups.most * batches]
    # in the order drawn, the first batches would have the rows of one group in common with their neighbours
    return [draw.permutation(rows[place::batches]).tolist() for place in draw.permutation(batches)]


@functools.lru_cache(maxsize=2)
def lengths_of_kinds(kinds: Kinds, batch_size: int) -> list[list[int]]:
    """Rows of each batch of each kind: as few batches as hold them, as equal as they go."""
    counts = Counter(kinds.of)
    return [_even_parts(counts[kind], -(-counts[kind] // batch_size)) for kind in range(max(counts) + 1)]


@functools.lru_cache(maxsize=2)
def batches_of_kinds(kinds: Kinds, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of one epoch: the rows of each kind in a random order, cut as `lengths_of_kinds` says, and
    all batches in a random order. Every row is in one of them."""
    import numpy as np

    draw = np.random.default_rng(seed_of(seed, "kinds", epoch))
    rows = draw.permutation(len(kinds.of))
    of = np.asarray(kinds.of)[rows]
    batches = []
    for kind, lengths in enumerate(lengths_of_kinds(kinds, batch_size)):
        parts = np.split(rows[of == kind], np.cumsum(lengths)[:-1]) if lengths else []
        batches += [part.tolist() for part in parts]
    return [batches[place] for place in draw.permutation(len(batches))]


def _even_parts(rows: int, parts: int) -> list[int]:
    return [rows // parts + (part < rows % parts) for part in range(parts)]


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
