"""Parquet files with a column of pictures and one of sentences, near or far.

`datasets` keeps an Arrow copy of them in its cache, from which any picture is read at random; a stream
(`stream`) keeps nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth.data import addresses, fashion_synthesis, remote
from fsynth.data.column_kinds import need_kinds, need_pictures
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


def open_files(
    origin: Path | str, parts: Mapping[str, Sequence[str]], image_column: str | None, text_column: str | None
) -> Opened:
    """Open Parquet files.

    Args:
        origin: how messages name them all.
        parts: split -> paths and addresses.

    Raises:
        ConfigError: a column that is not there.
        DataError: a broken file, a row without sentence; see `remote.look`.
        MissingPackage: for an address whose scheme needs another package.
    """
    import datasets

    files = [file for chosen in parts.values() for file in chosen]
    where = addresses.shown(origin)
    try:
        if any(map(addresses.is_far, files)):
            opened = _copied(parts)
        else:
            for file in files:  # one cut short is named, before `datasets` logs it and names none
                with _opened(file):
                    pass
            data_files = {name: [*chosen] for name, chosen in parts.items()}
            opened = datasets.load_dataset("parquet", data_files=data_files)
    except FsynthError:
        raise
    except Exception as error:  # datasets wraps what Arrow says, and what we say, in errors of its own
        cause = error.__cause__ or error
        if isinstance(cause, FsynthError):
            raise cause from None
        raise DataError(
            f"cannot read the Parquet files of {where} ({reason(cause)}); get them again"
        ) from None
    return from_columns(opened, f"{WHAT} ({len(files)} files)", image_column, text_column, where)


def streamable(parts: Mapping[str, Sequence[str]]) -> dict[str, list[RowGroup]]:
    """The row groups of every split, from what stands at the files' ends.

    Raises:
        DataError: a broken file, files without rows; see `remote.look`.
        MissingPackage: for an address whose scheme needs another package.
    """
    found: dict[str, list[RowGroup]] = {}
    first, numbers = 0, []
    for part, name in ((part, name) for part, names in parts.items() for name in names):
        file = remote.look(name) if addresses.is_far(name) else name
        with _opened(file) as opened:
            for number in range(opened.num_row_groups):
                found.setdefault(part, []).append(RowGroup(file, number, first))
                first += opened.metadata.row_group(number).num_rows
            if ROW in opened.schema_arrow.names:
                numbers += opened.read(columns=[ROW]).column(ROW).to_pylist()
    if not found:
        raise DataError("the Parquet files hold no rows; write them again")
    if len(numbers) == first and in_own_order(numbers):
        return {part: [replace(group, first=None) for group in groups] for part, groups in found.items()}
    return found


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
        return addresses.shown(self.file.address if isinstance(self.file, RemoteFile) else self.file)


def _copied(parts: Mapping[str, Sequence[str]]) -> dict[str, datasets.Dataset]:
    """Files elsewhere, in the cache of `datasets`."""
    import datasets

    found = streamable(parts)
    return {
        part: datasets.Dataset.from_generator(
            _records, features=_features(groups[0]), gen_kwargs={"groups": groups}
        )
        for part, groups in found.items()
    }


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


def _records(groups: Iterable[RowGroup], columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of row groups as Python values; all columns, or some."""
    for group in groups:
        with _opened(group.file) as opened:
            for batch in opened.iter_batches(BATCH, row_groups=[group.number], columns=columns):
                yield from batch.to_pylist()


def _features(group: RowGroup) -> datasets.Features:
    import datasets

    with _opened(group.file) as opened:
        return datasets.Features.from_arrow_schema(opened.schema_arrow)


@contextlib.contextmanager
def _opened(file: str | RemoteFile) -> Iterator[ParquetFile]:
    import pyarrow as pa
    from pyarrow import parquet

    where = addresses.shown(file.address if isinstance(file, RemoteFile) else file)
    try:
        source = remote.Window(file) if isinstance(file, RemoteFile) else file
        with parquet.ParquetFile(source) as opened:
            yield opened
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read the Parquet file {where} ({reason(error)}); get it again") from None
