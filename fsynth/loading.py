"""Processes that read pictures for a `torch.utils.data.DataLoader`, and what to say when one is killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from fsynth.errors import DataError, reason

_ENDED = "DataLoader worker"
_NOTICED = 1.0  # seconds


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Around a loop over a loader: a killed worker is one line.

    Around the whole loop, because torch notices it in a signal handler, wherever the process then is.

    Raises:
        DataError: instead of torch's error.
    """
    try:
        yield
    except (RuntimeError, EOFError, ConnectionError) as error:
        ended = ended_worker(error)
        if ended is None:
            raise
        raise ended from None


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
