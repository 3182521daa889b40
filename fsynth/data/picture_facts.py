"""What cleaning must know of every picture: its size, whether it can be read, which others show the same.

Reading all pictures of the benchmark takes minutes, so what was found is kept in the cache folder: numbers
and messages, never a picture, a thumbnail or a hash that looks like one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fsynth import outputs
from fsynth.console import say
from fsynth.data import caches, duplicates, picture_files, scan
from fsynth.errors import UnreachableError

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

VERSION = 2
"""Of what is kept and how it is found, beside the numbers of `duplicates`."""


@dataclass(frozen=True)
class Facts:
    """Of the pictures of a data set, whose rows count from 0.

    Attributes:
        sizes: (width, height) of each row in pixels; None where the picture cannot be read.
        errors: row -> why its picture cannot be read.
        groups: rows that show the same, exactly or nearly, sorted; no row is in two groups.
    """

    sizes: list[tuple[int, int] | None]
    errors: dict[int, str]
    groups: list[list[int]]


def find(dataset: datasets.Dataset, workers: int | None = None) -> Facts:
    """The facts of all pictures: from the cache, else read now, by one process of those that ask at once.

    Args:
        dataset: all rows of a source, in the order of the column ``row``; with image and name.
        workers: processes that read; 0 reads in this one, None takes one a core, fewer for few pictures.

    Raises:
        DataError: a process that read pictures was killed.
        UnreachableError: a file of pictures cannot be read now, or changed meanwhile; nothing is kept.
        OutputError: the cache folder (`$FSYNTH_CACHE`) cannot be written.
    """
    before = key(dataset)
    file = outputs.cache_folder() / "cleaning" / f"{before}.json"
    found = _kept(file)
    if found is not None:
        return found
    with caches.alone(file):
        found = _kept(file)
        if found is None:
            say(f"cleaning: reading all {len(dataset):,} pictures, once; what is found is kept in {file}")
            found = of_scan(scan.scan(dataset, workers))
            if key(dataset) != before:
                raise UnreachableError(
                    "files of pictures changed or went while they were read to be cleaned; start again when "
                    "nobody writes them"
                )
            outputs.write_text(file, json.dumps(asdict(found), ensure_ascii=False))
    return found


def of_scan(scanned: pa.Table) -> Facts:
    """The facts in the table of `fsynth.data.scan.scan` over all rows, in their order."""
    sizes = zip(scanned["width"].to_pylist(), scanned["height"].to_pylist(), strict=True)
    errors = zip(scanned["row"].to_pylist(), scanned["error"].to_pylist(), strict=True)
    return Facts(
        sizes=[None if width is None else (width, height) for width, height in sizes],
        errors={row: error for row, error in errors if error is not None},
        groups=_joined([*duplicates.exact_groups(scanned), *duplicates.near_groups(scanned)]),
    )


def key(dataset: datasets.Dataset) -> str:
    """16 hex digits that change with everything the facts depend on: names, places and files of the pictures,
    the limits of `duplicates` and the decoder. A file counts as changed when its size or time is."""
    import PIL

    limits = {name: value for name, value in vars(duplicates).items() if name.isupper()}
    digest = hashlib.sha256(repr((VERSION, PIL.__version__, sorted(limits.items()), len(dataset))).encode())
    places = _places(dataset)
    for line in (*places, *dataset.select_columns(["name"])[:]["name"]):
        digest.update(f"{line}\n".encode())
    for state in _states(dataset, places):
        digest.update(state)
    return digest.hexdigest()[:16]


def _places(dataset: datasets.Dataset) -> list[str | None]:
    """The path of every picture, in the table's own order; None where it has none."""
    from pyarrow import compute

    return compute.struct_field(dataset.data.column("image"), "path").to_pylist()


def _states(dataset: datasets.Dataset, places: Sequence[str | None]) -> Iterator[bytes]:
    """Size and time of every file that holds pictures; of pictures in a table in memory, themselves.

    A picture in a table may have a path as well, which then is no more than a name.
    """
    inside = _inside(dataset)
    outside = (place for place, held in zip(places, inside, strict=True) if place and not held)
    files = {picture_files.file_of(place) for place in outside}
    files |= {cached["filename"] for cached in dataset.cache_files}
    for file in sorted(files):
        yield f"{file} {picture_files.file_state(file)}\n".encode()
    if not dataset.cache_files and any(inside):
        yield from _contents(dataset)


def _inside(dataset: datasets.Dataset) -> list[bool]:
    """Of every picture, whether its bytes lie in the table."""
    from pyarrow import compute

    return compute.is_valid(compute.struct_field(dataset.data.column("image"), "bytes")).to_pylist()


def _contents(dataset: datasets.Dataset) -> Iterator[bytes]:
    from pyarrow import compute

    for chunk in compute.struct_field(dataset.data.column("image"), "bytes").chunks:
        for content in chunk:
            yield hashlib.sha256(content.as_py() or b"").digest()


def _kept(file: Path) -> Facts | None:
    """What the cache holds; None where that is nothing, or cannot be read."""
    try:
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return Facts(
            sizes=[size and tuple(size) for size in kept["sizes"]],
            errors={int(row): error for row, error in kept["errors"].items()},
            groups=kept["groups"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _joined(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Groups that share a row made one."""
    rows, places = np.unique([row for group in groups for row in group], return_inverse=True)
    number = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    linked = np.stack([places.ravel(), len(rows) + number], axis=1)  # each row with its groups
    which = duplicates.components(len(rows) + len(groups), linked.astype(np.int64))
    return duplicates.grouped(rows.astype(np.int64), which[: len(rows)])
