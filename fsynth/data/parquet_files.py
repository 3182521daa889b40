"""Parquet files with a column of pictures and one of sentences, near or far.

`datasets` keeps an Arrow copy of them in its cache, from which any picture is read at random; a stream
(`stream`) keeps nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth.data import addresses, fashion_synthesis, remote
from fsynth.data.column_kinds import need_alike, need_kinds, need_pictures
from fsynth.data.labels import LABELS
from fsynth.data.remote import RemoteFile
from fsynth.data.rows import (
    TEXT,
    Opened,
    from_columns,
    in_own_order,
    named,
    streamed_row,
)
from fsynth.data.stream_splits import Side
from fsynth.errors import DataError, FsynthError, reason

if TYPE_CHECKING:
    import datasets
    from pyarrow.parquet import ParquetFile

SUFFIX = ".parquet"
WHAT = "Parquet"
ROW = "row"
BATCH = 16
"""Rows that a stream decodes at once."""

_passing: list[tempfile.TemporaryDirectory[str]] = []  # copies that end with the process


def open_files(
    origin: Path | str, parts: Mapping[str, Sequence[str]], image_column: str | None, text_column: str | None
) -> Opened:
    """Open Parquet files.

    Args:
        origin: how messages name them all.
        parts: split -> paths and addresses.

    Raises:
        ConfigError: a column that is not there.
        DataError: a broken file, files that hold no rows or are not alike, a row without sentence; see
            `remote.look`.
        MissingPackage: for an address whose scheme needs another package.
    """
    import datasets

    where = addresses.shown(origin)
    found = _look(parts)  # what is wrong is named here: `datasets` logs it, and names neither file nor column
    ends = [end for chosen in found.values() for end in chosen]
    columns = _columns(ends, image_column or "image", text_column or TEXT, where)
    far = [end.file for end in ends if isinstance(end.file, RemoteFile)]
    try:
        if far:
            opened = _copied(found, columns)
        else:
            data_files = {part: [end.file for end in chosen] for part, chosen in found.items()}
            opened = datasets.load_dataset("parquet", data_files=data_files, columns=columns)
    except FsynthError:
        raise
    except Exception as error:  # datasets wraps what Arrow says, and what we say, in errors of its own
        cause = error.__cause__ or error
        if isinstance(cause, FsynthError):
            raise cause from None
        raise DataError(
            f"cannot read the Parquet files of {where} ({reason(cause)}); get them again"
        ) from None
    whole = from_columns(opened, f"{WHAT} ({len(ends)} files)", image_column, text_column, where)
    notes = () if all(file.versioned for file in far) else (remote.UNVERSIONED,)
    return dataclasses.replace(whole, notes=(*whole.notes, *notes))


def streamable(parts: Mapping[str, Sequence[str]]) -> dict[str, list[RowGroup]]:
    """The row groups of every split, from what stands at the files' ends.

    Raises:
        DataError: a broken file, a split without rows; see `remote.look`.
        MissingPackage: for an address whose scheme needs another package.
    """
    return _groups(_look(parts))


def stream(
    groups: Sequence[RowGroup], side: Side, image_column: str | None, text_column: str | None, origin: str
) -> datasets.IterableDataset:
    """The rows of one side; a row group is what a loader worker takes.

    Raises:
        ConfigError: a column that is not there, or of another kind.
        DataError: a broken file; while reading, a row without sentence.
    """
    import datasets

    image, text = image_column or "image", text_column or TEXT
    need_kinds(_features(groups[0]), image, text, origin)
    return datasets.IterableDataset.from_generator(
        _examples,
        features=fashion_synthesis.columns_of(with_pictures=True),
        gen_kwargs={"groups": [*groups], "side": side, "image": image, "text": text},
        split=datasets.NamedSplit(side.name),
    )


@dataclass(frozen=True)
class RowGroup:
    """Part of a file that is read alone.

    Attributes:
        file: a path, or a file elsewhere as it was.
        first: row of the source that its first row is; None where a column tells.
    """

    file: str | RemoteFile
    number: int
    first: int | None

    @property
    def where(self) -> str:
        """The file, as messages name it."""
        return _shown(self.file)


@dataclass(frozen=True)
class End:
    """What stands at a file's end, and its column `ROW` where it has one. ``rows``: of each row group."""

    file: str | RemoteFile
    features: datasets.Features
    rows: tuple[int, ...]
    numbers: list[Any]

    @property
    def where(self) -> str:
        """The file, as messages name it."""
        return _shown(self.file)


def _look(parts: Mapping[str, Sequence[str]]) -> dict[str, list[End]]:
    """The files of every split that hold rows."""
    found = {part: [_end(file) for file in files] for part, files in parts.items()}
    for part, ends in found.items():
        if not any(map(_holds_rows, ends)):
            raise DataError(
                f"{ends[0].where} holds no rows, nor does another Parquet file of the {part} split; write it "
                "again, or take it out"
            )
    return {part: [*filter(_holds_rows, ends)] for part, ends in found.items()}


def _holds_rows(end: End) -> bool:
    return sum(end.rows) > 0


def _end(name: str) -> End:
    import datasets

    file = remote.look(name) if addresses.is_far(name) else name
    with _opened(file) as opened:
        rows = tuple(opened.metadata.row_group(number).num_rows for number in range(opened.num_row_groups))
        there = ROW in opened.schema_arrow.names
        numbers = opened.read(columns=[ROW]).column(ROW).to_pylist() if there else []
        return End(file, datasets.Features.from_arrow_schema(opened.schema_arrow), rows, numbers)


def _groups(found: Mapping[str, Sequence[End]]) -> dict[str, list[RowGroup]]:
    groups: dict[str, list[RowGroup]] = {part: [] for part in found}
    first, numbers = 0, []
    for part, end in ((part, end) for part, ends in found.items() for end in ends):
        for number, rows in enumerate(end.rows):
            groups[part] += [RowGroup(end.file, number, first)] * (rows > 0)
            first += rows
        numbers += end.numbers
    if len(numbers) == first and in_own_order(numbers):
        return {part: [dataclasses.replace(one, first=None) for one in all] for part, all in groups.items()}
    return groups


def _columns(ends: Sequence[End], image: str, text: str, where: str) -> list[str]:
    """The columns that are read, alike in all files."""
    first = ends[0]
    need_kinds(first.features, image, text, where)
    wanted = [image, text, "name", ROW, *LABELS]
    for end in ends[1:]:
        need_alike(first.features, end.features, wanted, (first.where, end.where))
    return [name for name in first.features if name in wanted]


def _copied(found: Mapping[str, Sequence[End]], columns: list[str]) -> dict[str, datasets.Dataset]:
    """Files elsewhere, in the cache of `datasets`; without a version they could not be told from others of
    the same size, so that their copy is not found again."""
    import datasets

    ends = [end for chosen in found.values() for end in chosen]
    features = datasets.Features({name: ends[0].features[name] for name in columns})
    versioned = all(end.file.versioned for end in ends if isinstance(end.file, RemoteFile))
    cache = None if versioned else _passing_folder()
    return {
        part: datasets.Dataset.from_generator(
            _records,
            features=features,
            cache_dir=cache,
            gen_kwargs={"groups": groups, "columns": (*columns,)},
        )
        for part, groups in _groups(found).items()
    }


def _passing_folder() -> str:
    """A folder beside the cache of `datasets`, where the room is; removed when the process ends."""
    import datasets

    Path(datasets.config.HF_DATASETS_CACHE).mkdir(parents=True, exist_ok=True)
    _passing.append(tempfile.TemporaryDirectory(dir=datasets.config.HF_DATASETS_CACHE, prefix="passing-"))
    return _passing[-1].name


def _examples(groups: Sequence[RowGroup], side: Side, image: str, text: str) -> Iterator[dict[str, Any]]:
    for group in groups:
        features = _features(group)
        need_kinds(features, image, text, group.where)
        names = {name: features[name] for name in LABELS if name in features}
        wanted = [name for name in features if name in (image, text, "name", ROW, *LABELS)]
        for place, record in enumerate(_records([group], wanted)):
            row = record[ROW] if group.first is None else group.first + place
            name = str(record.get("name") or _path(record[image]) or f"{row:08d}")
            need_pictures([record[image]], image, group.where)
            if side.has(name):
                known = {column: named(names[column], record[column]) for column in names}
                where = f"row {row} of {group.where}"
                yield streamed_row(record[image], record[text], known, name, row, where)


def _path(picture: Any) -> str | None:
    if isinstance(picture, str):
        return picture
    return picture.get("path") if isinstance(picture, Mapping) else None


def _records(groups: Iterable[RowGroup], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of row groups as Python values; all columns, or some. `datasets` would share a list of
    columns between processes, not a tuple."""
    names = None if columns is None else [*columns]
    for group in groups:
        with _opened(group.file) as opened:
            for batch in opened.iter_batches(BATCH, row_groups=[group.number], columns=names):
                yield from batch.to_pylist()


def _features(group: RowGroup) -> datasets.Features:
    import datasets

    with _opened(group.file) as opened:
        return datasets.Features.from_arrow_schema(opened.schema_arrow)


def _shown(file: str | RemoteFile) -> str:
    return addresses.shown(file.address if isinstance(file, RemoteFile) else file)


@contextlib.contextmanager
def _opened(file: str | RemoteFile) -> Iterator[ParquetFile]:
    import pyarrow as pa
    from pyarrow import parquet

    where = _shown(file)
    try:
        source = remote.Window(file) if isinstance(file, RemoteFile) else file
        with parquet.ParquetFile(source) as opened:
            yield opened
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read the Parquet file {where} ({reason(error)}); get it again") from None
