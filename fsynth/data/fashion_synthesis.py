"""The FashionSynthesis benchmark as `datasets` splits.

Columns: ``image`` (a lazy `datasets.Image`, upright RGB; absent where there are no pictures), ``text``,
``gender`` ``sleeve`` ``category`` ``color`` (`datasets.ClassLabel`), ``name`` (the path in the benchmark's
list) and ``row`` (0-based row of the annotation).

The table lies in memory and holds paths, not pictures. `datasets` writes results of ``map`` and ``filter``
into a cache only for tables that came from a file, so pictures that pass through them stay in memory too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth.data import annotation, hdf5_pictures, labels, layout, picture_files
from fsynth.data.archive import current_password
from fsynth.data.layout import Layout, find
from fsynth.errors import DataError

if TYPE_CHECKING:
    import datasets
    import numpy as np
    from numpy.typing import NDArray

    from fsynth.data.archive import Archive

__all__ = ["GIB", "Benchmark", "Layout", "find", "load", "open_layout"]

GIB = 2**30

Ask = Callable[["Path"], "bytes | None"]
"""Finds the password of a ZIP; called only for an encrypted one that is about to be read."""


@dataclass(frozen=True)
class Benchmark:
    """What was opened: all rows in the annotation's order, the official split, the file its pictures come
    from, and what the user should know."""

    rows: datasets.Dataset
    official: annotation.Splits
    pictures: Path | None
    notes: tuple[str, ...]

    @property
    def splits(self) -> datasets.DatasetDict:
        """``train`` and ``test``, in memory."""
        import datasets

        parts = {"train": self.official.train, "test": self.official.test}
        return datasets.DatasetDict({name: take(self.rows, rows, name) for name, rows in parts.items()})


def load(
    root: Path | str, image_source: str | None = None, memory_limit: int = 4 * GIB
) -> datasets.DatasetDict:
    """Open a folder that holds the benchmark's files; passwords come from the environment.

    Args:
        root: any folder above the files (`find`).
        image_source: ``zip``, ``hdf5``, or None for the ZIP where there is one.
        memory_limit: largest HDF5 in bytes that is unpacked from ``G2.zip`` into memory.

    Returns:
        the official splits, ``train`` and ``test``.

    Raises:
        DataError: files that are missing, broken or do not belong together.
        PasswordError: when a password is needed and missing or wrong.
    """
    return open_layout(find(Path(root)), image_source, memory_limit).splits


def open_layout(
    where: Layout, image_source: str | None, memory_limit: int, ask: Ask = current_password
) -> Benchmark:
    """`load` for files already found; the process remembers passwords that open them."""
    refuse_absent(where, image_source)
    plain = hdf5_pictures.HDF5Pictures(where.hdf5) if where.hdf5 else None
    rows = annotation.read(where.annotation, plain.counts() if plain else None)
    splits = annotation.read_splits(where.splits, len(rows))
    notes = list(where.notes)
    file = paths = None
    if image_source != "hdf5":
        file, paths = _from_zip(where, rows, image_source, notes, ask)
    if paths is None and (where.hdf5 or where.hdf5_zip):
        pictures = plain or unpacked(where.hdf5_zip, memory_limit, ask)
        annotation.check_counts(where.annotation, {annotation.TEXT: len(rows)}, pictures.counts())
        file, paths = pictures.file, picture_files.hdf5_paths(pictures, len(rows))
    columns = {"text": rows.text, **rows.codes, "name": rows.name}
    return Benchmark(in_memory(columns, paths), splits, file, tuple(notes))


def refuse_absent(where: Layout, image_source: str | None) -> None:
    """Stop when a file that is needed, or was asked for, is not there.

    Raises:
        DataError: naming it.
    """
    if image_source not in (None, "zip", "hdf5"):
        raise DataError(f"image source {image_source!r} is neither 'zip' nor 'hdf5'")
    if where.splits is None:
        raise DataError(f"no {layout.SPLITS} under {where.root}; it says which rows are for training: add it")
    if image_source == "zip" and not where.image_zips:
        raise DataError(f"no {' or '.join(layout.IMAGE_ZIPS)} under {where.root}; try --image-source hdf5")
    if image_source == "hdf5" and not (where.hdf5 or where.hdf5_zip):
        raise DataError(f"no {layout.HDF5} or {layout.HDF5_ZIP} under {where.root}; try --image-source zip")


def unpacked(file: Path, memory_limit: int, ask: Ask) -> hdf5_pictures.HDF5Pictures:
    """The HDF5 in ``G2.zip``, decrypted into memory.

    Raises:
        DataError: when it is larger than ``memory_limit`` bytes, damaged or not there.
        PasswordError: when its password is missing or wrong.
    """
    password = ask(file) if picture_files.open_archive(file).encrypted else None
    return hdf5_pictures.HDF5Pictures(file, memory_limit=memory_limit, password=password)


def _from_zip(
    where: Layout, rows: annotation.Annotation, image_source: str | None, notes: list[str], ask: Ask
) -> tuple[Path | None, list[str] | None]:
    """The image ZIP and the path of each row's picture; two times None where there is none to read."""
    chosen = choose_zip(
        where.image_zips, rows.name, notes, "download it again, or name another --image-source"
    )
    if chosen is not None:
        zipped, members = chosen
        unlock(zipped, ask)
        return zipped.path, picture_files.zip_paths(zipped.path, members)
    if not where.image_zips:
        return None, None
    foreign = f"{where.image_zips[0]} holds none of the pictures named in {where.annotation}"
    if image_source == "zip" or not (where.hdf5 or where.hdf5_zip):
        raise DataError(f"{foreign}; it belongs to another benchmark: add this one's")
    notes.append(f"{foreign} and is not read")
    return None, None


def unlock(zipped: Archive, ask: Ask) -> None:
    """Find the password of an archive and judge it on three members (`Archive.unlock`).

    Raises:
        PasswordError: it is missing or wrong.
        DataError: members are damaged.
    """
    password = ask(zipped.path) if zipped.encrypted else None
    if password is None:
        zipped.check_password()  # passes where nothing is encrypted
    else:
        zipped.unlock(password)


def choose_zip(
    files: Sequence[Path], names: Sequence[str], notes: list[str], advice: str
) -> tuple[Archive, list[str]] | None:
    """The first ZIP that holds every picture, and its members; None when all of them hold none.

    Raises:
        DataError: the best of them lacks some pictures; ends with the advice.
    """
    problem: DataError | None = None
    for file in files:
        zipped = picture_files.open_archive(file)
        members = match(names, zipped.names)
        missing = [name for name, member in zip(names, members, strict=True) if member is None]
        if not missing:
            if len(files) > 1:
                notes.append(f"{len(files)} image ZIPs; reading {file}")
            return zipped, [member for member in members if member is not None]
        if len(missing) < len(names) and problem is None:
            problem = DataError(
                f"{file} lacks {len(missing):,} of {len(names):,} pictures (first: {missing[0]}); {advice}"
            )
    if problem is not None:
        raise problem
    return None


def match(names: Sequence[str], members: Collection[str]) -> list[str | None]:
    """The archive member of each name, None where there is none.

    Names are ``img/<Folder>/img_<number>.jpg``; archives keep them so, under ``Img/img/``, ``img_highres/``
    or any other folder. Where two folders hold them, the fuller one counts, then the first by name.
    """
    relative = [name.removeprefix("img/") for name in names]
    wanted = set(relative)
    prefixes = Counter(
        member.removesuffix(tail) for member in members for tail in _tails(member) if tail in wanted
    )
    if not prefixes:
        return [None] * len(names)
    prefix = min(prefixes, key=lambda candidate: (-prefixes[candidate], candidate))
    there = set(members)
    return [prefix + tail if prefix + tail in there else None for tail in relative]


def _tails(member: str) -> Iterator[str]:
    """``a/b/c`` -> ``a/b/c``, ``b/c``, ``c``."""
    start = 0
    while True:
        yield member[start:]
        start = member.find("/", start) + 1
        if start == 0:
            return


def take(dataset: datasets.Dataset, rows: NDArray[np.int64], split: str) -> datasets.Dataset:
    """Rows of a data set in memory, in memory too: `datasets` caches nothing of such a one."""
    import datasets
    from datasets.table import InMemoryTable

    return datasets.Dataset(
        InMemoryTable(dataset.data.table.take(rows)),
        info=datasets.DatasetInfo(features=dataset.features),
        split=datasets.NamedSplit(split),
    )


def columns_of(with_pictures: bool) -> datasets.Features:
    """The columns of the module text, with or without the pictures."""
    from datasets import ClassLabel, Features, Value

    from fsynth.data.picture_column import Picture

    columns = {"image": Picture(mode="RGB")} if with_pictures else {}
    columns["text"] = Value("string")
    columns |= {name: ClassLabel(names=list(values)) for name, values in labels.LABELS.items()}
    return Features({**columns, "name": Value("string"), "row": Value("int32")})


def in_memory(columns: Mapping[str, Sequence[Any]], paths: Sequence[str] | None) -> datasets.Dataset:
    """All rows as a data set in memory, which holds the paths of pictures and no picture.

    Args:
        columns: ``text``, the labels' codes and ``name``; ``row`` is counted.
        paths: what `datasets.Image` opens; None without pictures.
    """
    import datasets
    import pyarrow as pa
    from datasets.table import InMemoryTable

    picture_files.register()
    features = columns_of(with_pictures=paths is not None)
    rows = len(columns["text"])
    values = {**columns, "row": range(rows)}
    if paths is not None:
        no_bytes = pa.nulls(rows, pa.binary())
        places = pa.array(paths, pa.string())
        values["image"] = pa.StructArray.from_arrays([no_bytes, places], ["bytes", "path"])
    schema = features.arrow_schema
    arrays = [pa.array(values[name], type=schema.field(name).type) for name in features]
    table = InMemoryTable(pa.Table.from_arrays(arrays, schema=schema))
    return datasets.Dataset(table, info=datasets.DatasetInfo(features=features))
