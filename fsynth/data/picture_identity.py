"""A name for each picture that changes with its content, without reading the picture where that goes.

A member of a ZIP is known by its checksum, a file of its own by its place, size and time, a picture in a
table by its bytes: who changes one changes one name. Pictures in a tar file or an HDF5 have no mark of their
own: theirs changes with the whole file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fsynth.data import picture_files

if TYPE_CHECKING:
    import datasets

_AT_ONCE = 256  # rows whose bytes lie in memory together, where the table holds them


def identities(dataset: datasets.Dataset, positions: Sequence[int]) -> list[str]:
    """32 hex digits of each picture; equal for equal pictures under one name in copies of an archive.

    Args:
        dataset: with the column image.
        positions: in ``dataset``, from 0.
    """
    return [_digest(image) for image in undecoded(dataset, positions)]


def undecoded(dataset: datasets.Dataset, positions: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Each picture as ``bytes`` and ``path``, one of which may be None."""
    column = dataset.select_columns(["image"]).with_format("arrow")
    for start in range(0, len(positions), _AT_ONCE):
        for image in column[list(positions[start : start + _AT_ONCE])]["image"]:
            yield image.as_py() or {"bytes": None, "path": None}


def _digest(image: dict[str, Any]) -> str:
    mark = image["bytes"]
    if mark is None:
        mark = "\x1f".join(_mark(image["path"] or "")).encode()
    return hashlib.sha256(mark).hexdigest()[:32]


def _mark(path: str) -> tuple[str, ...]:
    """What stands for a picture that lies outside the table."""
    checksum = picture_files.checksum(path) if picture_files.is_ours(path) else None
    if checksum is not None:  # also where the archive has moved
        return ("member", path.rpartition(picture_files.INSIDE)[2], checksum)
    state = picture_files.state(path) if picture_files.is_ours(path) else picture_files.file_state(path)
    return ("place", path, state)
