"""Writes the files of a drawn archive while its pictures are being drawn."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np

import fsynth
from fsynth import machine, outputs
from fsynth.console import is_main_process
from fsynth.data import drawing_workers, matlab_files, zip_writer
from fsynth.data.drawing_workers import Picture, Task
from fsynth.data.layout import Layout
from fsynth.data.listing import Listing
from fsynth.errors import OutputError, reason

FORMAT_VERSION = 1
"""Raised whenever an archive's files change otherwise than by their pictures and captions."""
FILES = (
    "Anno/language_original.mat",
    "Anno/boxes.jsonl",
    "Eval/ind.mat",
    "Img/img.zip",
    "password.txt",
    "README.txt",
)
"""What every drawn archive holds; `Img/G2.h5` comes on request."""

_LEVEL = 1  # of deflate in G2.h5: 6 saves 6 % and takes 1.6 times as long
_PACKED_AT_ONCE = 256

_README = """Drawn by fsynth {version}: {rows:,} pictures of {size} px, look "{look}", seed {seed}.

A look-alike of the FashionSynthesis benchmark, for trying, testing and teaching. It holds no photograph and
shows no person. {terms}

Img/img.zip is encrypted as the benchmark's archives are, so that the same code reads both; its password is in
password.txt and no secret.

Anno/boxes.jsonl has one line per row: the garments of the picture with box (x1, y1, x2, y2), polygons
(x, y, x, y, ...) and landmarks (visibility, x, y; 0 visible, 1 occluded, 2 outside), all in pixels.
"""
_OURS = "Pictures, captions and annotations are dedicated to the public domain (CC0 1.0)."
_THEIRS = (
    "Pictures and boxes are dedicated to the public domain (CC0 1.0); captions, codes,\n"
    "names and split were read from a given annotation and keep its terms."
)


def is_drawn(folder: Path) -> bool:
    """Whether a folder holds a drawn archive, rather than somebody's pictures."""
    return all((folder / name).is_file() for name in FILES)


def holds_drawings(where: Layout) -> bool:
    """`is_drawn`, of the archive that was found somewhere under a folder."""
    return is_drawn(where.annotation.parents[1])


def write(
    folder: Path,
    listing: Listing,
    task: Task,
    password: bytes,
    workers: int | None = None,
    given: Path | None = None,
) -> None:
    """Draw a task's pictures and write the archive's files into an existing folder.

    Args:
        listing: the rows; `task.labels` are theirs.
        task: with `pixels`, `Img/G2.h5` is written too.
        given: the annotation that the captions come from, if they are not ours.
    """
    for name in ("Anno", "Eval", "Img"):
        outputs.make_folder(folder / name)
    matlab_files.write_annotation(folder / FILES[0], listing.rows)
    matlab_files.write_splits(folder / FILES[2], listing)
    (folder / "password.txt").write_bytes(password + b"\n")
    terms = _OURS if given is None else _THEIRS
    facts = {"rows": len(listing.rows), "size": task.size, "look": task.look, "seed": task.seed}
    outputs.write_text(
        folder / "README.txt", _README.format(version=fsynth.__version__, terms=terms, **facts)
    )
    _write_pictures(folder, listing, task, password, workers)


def _write_pictures(folder: Path, listing: Listing, task: Task, password: bytes, workers: int | None) -> None:
    from tqdm.auto import tqdm

    with ExitStack() as stack:
        boxes = stack.enter_context(open(folder / "Anno/boxes.jsonl", "w", encoding="utf-8"))
        shelf = (
            stack.enter_context(_Shelf(folder / "Img", len(listing.rows), task.side)) if task.pixels else None
        )
        drawn = drawing_workers.draw_all(task, workers)
        # pictures come in blocks: a rate after the first one of a block would foretell hours
        seen = {"unit": "picture", "miniters": drawing_workers.BLOCK, "disable": not is_main_process()}
        bar = tqdm(drawn, "drawing", len(listing.rows), **seen)
        members = _members(listing, bar, boxes, shelf, task.size)
        zip_writer.write_encrypted_zip(folder / "Img/img.zip", members, password)
        if shelf is not None:
            shelf.write_hdf5(folder / "Img/G2.h5", workers)


def _members(
    listing: Listing, pictures: Iterator[Picture], boxes: IO[str], shelf: _Shelf | None, size: int
) -> Iterator[tuple[str, bytes]]:
    """The ZIP's members; what else a picture brings is written in passing."""
    for index, (row, picture) in enumerate(zip(listing.rows, pictures, strict=True)):
        line = {"name": row.name, "width": size, "height": size, "garments": picture.garments}
        boxes.write(json.dumps(line, separators=(",", ":")) + "\n")
        if shelf is not None:
            shelf.put(index, picture)
        yield row.name, picture.jpeg


def scratch(rows: int, side: int) -> int:
    """Bytes on the disk that `G2.h5` takes beside itself while it is made."""
    return 4 * rows * side * side


class _Shelf:
    """Keeps pixels in a file without a name until their mean is known, which `G2.h5` takes off.

    Raises:
        OutputError: the disk has no room for them.
    """

    def __init__(self, folder: Path, rows: int, side: int) -> None:
        with tempfile.TemporaryFile(dir=folder) as file:
            _take_room(file.fileno(), scratch(rows, side))
            both = np.memmap(file, np.uint8, "r+", shape=(rows, side, side, 4))
        self._pixels, self._parts = both[..., :3], both[..., 3]
        self._sum = np.zeros((side, side, 3))

    def __enter__(self) -> _Shelf:
        return self

    def __exit__(self, *error: object) -> None:
        del self._pixels, self._parts

    def put(self, index: int, picture: Picture) -> None:
        """Keep one picture."""
        self._pixels[index], self._parts[index] = picture.pixels, picture.parts
        self._sum += picture.pixels

    def write_hdf5(self, path: Path, workers: int | None) -> None:
        """Write `ih` float32 (N, 3, W, H) in [-1, 1], `ih_mean` float32 (3, W, H) in [0, 1] and `b_` uint8
        (N, 1, W, H) in 0..6; a picture is a chunk, so single rows are read fast.

        Args:
            workers: threads that compress; None for one a core.

        Raises:
            OutputError: the file cannot be written.
        """
        try:
            self._write_hdf5(path, workers)
        except (OSError, RuntimeError) as error:  # HDF5 raises either on a full disk
            told = os.strerror(error.errno) if getattr(error, "errno", None) else reason(error)
            raise OutputError(f"cannot write {path} ({told}); choose another --output") from None

    def _write_hdf5(self, path: Path, workers: int | None) -> None:
        import h5py

        rows, side = self._parts.shape[:2]
        mean = (self._sum / rows / 255).transpose(2, 1, 0).astype(np.float32)
        packed = {"compression": "gzip", "compression_opts": _LEVEL, "shuffle": True}
        with h5py.File(path, "w") as file:
            file["ih_mean"] = mean
            shape = (3, side, side)
            pictures = file.create_dataset("ih", (rows, *shape), np.float32, chunks=(1, *shape), **packed)
            shape = (1, side, side)
            parts = file.create_dataset("b_", (rows, *shape), np.uint8, chunks=(1, *shape), **packed)
            for row, (picture, part) in enumerate(self._packed(mean, workers)):
                pictures.id.write_direct_chunk((row, 0, 0, 0), picture)
                parts.id.write_direct_chunk((row, 0, 0, 0), part)

    def _packed(self, mean: np.ndarray, workers: int | None) -> Iterator[tuple[bytes, bytes]]:
        """The chunks of every row as they stand in the file: HDF5 itself would pack on one core."""
        from concurrent.futures import ThreadPoolExecutor

        from tqdm.auto import tqdm

        def pack(row: int) -> tuple[bytes, bytes]:
            picture = self._pixels[row].transpose(2, 1, 0).astype(np.float32) / 255 - mean
            return _chunk(picture), _chunk(self._parts[row].T)

        rows = len(self._parts)
        threads = machine.cores() if workers is None else max(1, workers)
        bar = tqdm(total=rows, desc="G2.h5", unit="picture", disable=not is_main_process())
        with ThreadPoolExecutor(threads) as pool, bar:
            for start in range(0, rows, _PACKED_AT_ONCE):  # a pool takes all it is given, and keeps it
                yield from pool.map(pack, range(start, min(start + _PACKED_AT_ONCE, rows)))
                bar.update(min(_PACKED_AT_ONCE, rows - start))


def _take_room(descriptor: int, size: int) -> None:
    """Take the room of a file now: writing to mapped memory that the disk has no room for ends the process
    with a signal.

    Raises:
        OutputError: there is too little.
    """
    try:
        os.truncate(descriptor, size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that cannot tell
            return
        raise OutputError(
            f"G2.h5 needs {size:,} bytes beside itself while it is made, and the disk has not as many "
            f"({error.strerror}); free some, draw fewer rows, or choose another --output"
        ) from None


def _chunk(values: np.ndarray) -> bytes:
    """A chunk after HDF5's filters: first bytes of all values together, then the second ones; deflate."""
    shuffled = np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.itemsize).T
    return zlib.compress(np.ascontiguousarray(shuffled), _LEVEL)
