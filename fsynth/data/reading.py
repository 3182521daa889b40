"""Reads the items of a data set in several processes, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from fsynth import loading, machine

_BATCH = 32  # items that a worker sends home together
_WORTH_A_WORKER = 200  # pictures: about the second that starting one takes


class Items(Protocol):
    """What is read: a map-style data set of torch."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


def in_order(items: Items, which: Sequence[int], workers: int | None = 0) -> Iterator[list[Any]]:
    """Some items, a few dozen at a time.

    Args:
        workers: processes that read; 0 reads in this one, None takes one a core, fewer for few items.

    Raises:
        DataError: when a worker is killed.
    """
    if workers is None:
        workers = min(machine.cores(), len(which) // _WORTH_A_WORKER)
    if not workers:
        for batch in range(0, len(which), _BATCH):
            yield [items[index] for index in which[batch : batch + _BATCH]]
        return
    from torch.utils.data import DataLoader

    loader = DataLoader(
        items,  # type: ignore[arg-type]
        sampler=which,
        batch_size=_BATCH,
        num_workers=workers,
        collate_fn=list,
    )
    with loading.clear_errors():
        yield from loader
