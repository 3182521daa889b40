"""Where the benchmark's files lie under a folder.

Users keep FashionSynthesis as Google Drive delivers it (``Anno/``, ``Eval/``, ``Img/``), as the authors' code
had it (``data_release/benchmark``, ``data_release/supervision_signals``), or with everything in one folder.
So files are found by name, in any case, anywhere under the folder given.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fsynth.errors import DataError

ANNOTATION = "language_original.mat"
SPLITS = "ind.mat"
HDF5 = "G2.h5"
HDF5_ZIP = "G2.zip"
IMAGE_ZIPS = ("img.zip", "img_highres.zip")
"""In the order of preference: the smaller pictures read several times faster."""
FILES = (ANNOTATION, SPLITS, HDF5, HDF5_ZIP, *IMAGE_ZIPS)

_WHOLE = 2**24  # files up to 16 MiB are compared byte for byte
_EDGE = 2**20


@dataclass(frozen=True)
class Layout:
    """What was found under ``root``; None or an empty tuple where a file is not there."""

    root: Path
    annotation: Path
    splits: Path | None = None
    hdf5: Path | None = None
    hdf5_zip: Path | None = None
    image_zips: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def find(root: Path) -> Layout:
    """Find the benchmark's files anywhere under a folder, whatever the case of their names.

    Of several files of one name and the same content, the one nearest to the root is taken, and
    `Layout.notes` says so.

    Raises:
        DataError: when there is no such folder, no annotation in it, or two different files of one name.
    """
    root = Path(root).expanduser()
    need_folder(root)
    return among(root, find_files(root, FILES))


def need_folder(root: Path) -> None:
    """Refuse a root that is no folder.

    Raises:
        DataError: naming it.
    """
    if not root.is_dir():
        raise DataError(f"no folder {root}; check the path: any folder above the data will do")


def among(root: Path, found: Mapping[str, list[Path]]) -> Layout:
    """`find`, among files that `find_files` found under the folder.

    Raises:
        DataError: when there is no annotation among them, or two different files of one name.
    """
    notes: list[str] = []

    def one(name: str) -> Path | None:
        return choose(root, found.get(name.lower(), []), notes)

    annotation = one(ANNOTATION)
    if annotation is None:
        raise DataError(
            f"no {ANNOTATION} under {root}; point --data at the folder that holds the FashionSynthesis files"
        )
    image_zips = tuple(path for name in IMAGE_ZIPS for path in found.get(name, []))
    return Layout(root, annotation, one(SPLITS), one(HDF5), one(HDF5_ZIP), image_zips, tuple(notes))


def find_files(root: Path, names: Iterable[str]) -> dict[str, list[Path]]:
    """Lower-case name -> files of that name in any case, anywhere under a folder, nearest first."""
    wanted = {name.lower() for name in names}
    found: dict[str, list[Path]] = {}
    for path in _walk(root):
        if path.name.lower() in wanted and path.is_file():  # not a link to nowhere
            found.setdefault(path.name.lower(), []).append(path)
    for paths in found.values():
        paths.sort(key=lambda path: (len(path.parts), str(path)))
    return found


def _walk(root: Path) -> Iterator[Path]:
    """All files, also behind linked folders, each real folder once."""
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield from (Path(folder, name) for name in files)


def choose(root: Path, candidates: list[Path], notes: list[str]) -> Path | None:
    """The nearest of several files of one name; a note where there are equal ones.

    Raises:
        DataError: they are not equal.
    """
    if not candidates:
        return None
    first, *others = candidates
    for other in others:
        if not _same(first, other):
            raise DataError(
                f"{first.relative_to(root)} and {other.relative_to(root)} under {root} differ; "
                "point --data at the folder of one of them"
            )
    if others:
        notes.append(f"{len(candidates)} equal copies of {first.name}; reading {first.relative_to(root)}")
    return first


def _same(a: Path, b: Path) -> bool:
    if a.stat().st_size != b.stat().st_size:
        return False
    if a.samefile(b):
        return True
    if a.stat().st_size <= _WHOLE:
        return filecmp.cmp(a, b, shallow=False)
    return _edges(a) == _edges(b)


def _edges(path: Path) -> bytes:
    """The ends of a file too large to compare whole (the real HDF5 has 15 GB)."""
    with open(path, "rb") as file:
        head = file.read(_EDGE)
        file.seek(-_EDGE, os.SEEK_END)
        return head + file.read(_EDGE)
