"""Processes that read pictures for a `torch.utils.data.DataLoader`, and what to say of those that fail."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fsynth.errors import DataError, FsynthError, reason

if TYPE_CHECKING:
    from fsynth.order import Order, Pick

_ENDED = "DataLoader worker"
_NOTICED = 5.0  # seconds; on a busy machine the end of a large process takes a while


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Around a loop over a loader: a killed worker is one line, and an error of ours in one is as it was.

    Around the whole loop, because torch notices it in a signal handler, wherever the process then is.

    Raises:
        DataError: instead of torch's error.
        FsynthError: of its own class, in its own line, which torch puts below a quoted traceback.
    """
    try:
        yield
    except (FsynthError, RuntimeError, EOFError, ConnectionError) as error:
        ours = cleared(error)
        if ours is None:
            raise
        raise ours from None


def cleared(error: BaseException | None) -> FsynthError | None:
    """What to raise in place of an error that comes of a worker; None where it does not."""
    return _as_it_was(error) if isinstance(error, FsynthError) else ended_worker(error)


def _as_it_was(error: FsynthError) -> FsynthError | None:
    """An error of ours that torch brings from a worker; None where it comes from this process."""
    before, quoted, trace = str(error).partition("\nOriginal Traceback")
    if not quoted or not before.startswith("Caught "):
        return None
    return type(error)(trace.rstrip().splitlines()[-1].removeprefix(_name(error)))


def _name(error: FsynthError) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}: "


def ended_worker(error: BaseException | None) -> DataError | None:
    """What to say where the error comes of a worker that was killed or ended itself; else None."""
    if isinstance(error, (EOFError, ConnectionError)):
        error = _what_follows()
    if not isinstance(error, RuntimeError) or not str(error).startswith(_ENDED):
        return None
    told = reason(error).split(". It is possible")[0].rstrip(". ")
    return DataError(
        f"a process that read pictures has ended ({told}); it may have run out of memory: take fewer "
        "--workers; or a file was cut short while it was read: see fsynth data-check"
    )


def _what_follows() -> RuntimeError | None:
    """The error that torch raises when it is told that a worker has ended; its connection breaks sooner."""
    try:
        time.sleep(_NOTICED)
    except RuntimeError as error:
        return error
    return None


class Picked:
    """A data set whose rows also carry their pick's weight."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, pick: Pick) -> dict[str, Any]:
        import torch

        return {**self.dataset[pick], "weight": torch.tensor(pick.weight)}


class Shares:
    """The loader's batch sampler: the picks of this process, micro-batch by micro-batch."""

    def __init__(self, plan: Order, start: int) -> None:
        self.plan, self.start = plan, start

    def __iter__(self) -> Iterator[list[Pick]]:
        return (list(micro.picks) for micro in self.plan.from_step(self.start))
