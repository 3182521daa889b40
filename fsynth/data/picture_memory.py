"""``--cache-images memory``: files of pictures stay in memory, decrypted, once they were read; rows of an
HDF5 as bitmaps.

`shared_pictures` holds them; this module decides whether there is room, and says so. The processes of a
launch share nothing: each keeps what it reads, so that none waits for or depends on another.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsynth import machine
from fsynth.data import picture_files, shared_pictures
from fsynth.errors import ConfigError, DataError

if TYPE_CHECKING:
    import datasets

SHARE = 0.9
"""Of the free memory: the rest is left to all else."""
_GIB = 2**30
_ELSEWHERE = (
    "pictures lie in plain files or tables, which the system itself keeps in memory: nothing is cached"
)
_UNPACKED = "pictures lie in a G2.zip that was unpacked into memory: nothing more is cached"
_NO_SYSTEM = (
    "--cache-images memory needs Linux, where memory without a name on any disk is shared; leave it out"
)


def keep(parts: Sequence[datasets.Dataset]) -> str:
    """Keep the pictures of these rows from their first reading on.

    Returns:
        a line that says what is kept, or why nothing is.

    Raises:
        ConfigError: not on this system.
        DataError: there is too little memory; a picture's file is not where it should be.
    """
    paths = [path for part in parts for path in _paths(part) if path and picture_files.is_ours(path)]
    if not paths:
        return _ELSEWHERE
    if picture_files.in_memory(paths[0]):  # a benchmark's pictures all lie in one file
        return _UNPACKED
    if not hasattr(os, "memfd_create"):
        raise ConfigError(_NO_SYSTEM)
    sizes = {path: picture_files.size_of(path) for path in paths}
    free = machine.free_memory()
    check_room(shared_pictures.needed(sizes.values()), len(sizes), free, machine.launched_here())
    shared_pictures.keep(sizes, picture_files.INSIDE)
    return f"pictures stay in memory once read: {_size(sum(sizes.values()))} for {len(sizes):,}" + (
        "" if free is None else f", {_size(free)} are free"
    )


def check_room(needed: int, pictures: int, free: int | None, processes: int) -> None:
    """Refuse what would fill the memory.

    Args:
        needed: bytes in each process.
        free: bytes; None where nobody knows.

    Raises:
        DataError: with both.
    """
    if free is None or needed * processes <= free * SHARE:
        return
    each = f" in each of {processes} processes" if processes > 1 else ""
    raise DataError(
        f"--cache-images memory needs {_size(needed)} for {pictures:,} pictures{each}, and {_size(free)} are "
        f"free here, of which it takes {SHARE:.0%} at most; leave it out, or free some memory"
    )


def _paths(part: datasets.Dataset) -> list[str | None]:
    """The paths in the column ``image``; none where there is no such column, or it holds the pictures."""
    import pyarrow as pa
    from datasets.table import InMemoryTable

    if "image" not in part.column_names or not isinstance(part.data, InMemoryTable):
        return []
    kinds = [chunk for chunk in part.data.column("image").chunks if pa.types.is_struct(chunk.type)]
    return [path for chunk in kinds for path in chunk.field("path").to_pylist()]


def _size(count: int) -> str:
    return f"{count / _GIB:.2f} GiB" if count >= _GIB // 10 else f"{count / 2**20:.1f} MiB"
