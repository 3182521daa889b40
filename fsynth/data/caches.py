"""What is costly to make and kept in the cache folder: one process makes it, others wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fsynth import outputs
from fsynth.console import say
from fsynth.errors import OutputError


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """One process at a time makes a file or folder of the cache; others wait, and say so.

    Raises:
        OutputError: the cache cannot be written.
    """
    from filelock import FileLock, Timeout

    outputs.make_folder(place.parent)
    try:
        lock = FileLock(place.with_name(f"{place.name}.lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            say(f"waiting for another process, which makes {place}")
            lock.acquire()
    except OSError as error:
        raise OutputError(
            f"cannot write the cache {place.parent} ({error.strerror}); set FSYNTH_CACHE to another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()
