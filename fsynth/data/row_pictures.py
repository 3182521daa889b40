"""Rows with their pictures decoded, and what to say of one whose picture cannot be: it names the row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fsynth.data import picture_files
from fsynth.errors import DataError

if TYPE_CHECKING:
    import datasets


def row_of(dataset: datasets.Dataset, index: int) -> dict[str, Any]:
    """A row of a data set, its picture decoded.

    Args:
        dataset: with the columns image, row and name, and any others.
        index: position in ``dataset``, from 0.

    Raises:
        DataError: the picture is not there, cannot be read or cannot be decoded.
        PasswordError: the password of its archive is missing or wrong.
    """
    try:
        row = dataset[index]
    except picture_files.undecodable() as error:
        raise broken(_undecoded(dataset, index), error) from None
    if row["image"] is None:
        raise DataError(f"{_named(row)} has no picture; {_ADVICE}")
    return row


def broken(row: Mapping[str, Any], error: Exception) -> DataError:
    """What to say of a row whose picture was refused with one of `fsynth.data.picture_files.undecodable`.

    Args:
        row: with image (not decoded), row and name.
    """
    path = row["image"]["path"] or ""
    if picture_files.is_ours(path):
        return DataError(f"{picture_files.no_picture(path, error)}, or {_DROP}")
    where = f"{_named(row)} in {path}" if path and row["image"]["bytes"] is None else _named(row)
    if isinstance(error, OSError) and error.errno is not None:
        return DataError(f"the picture of {where} cannot be read ({error.strerror}); {_ADVICE}")
    return DataError(f"{where} is not a picture ({picture_files.fault(error)}); {_ADVICE}")


_DROP = "leave the row out with --drop-unreadable"
_ADVICE = f"get it again, or {_DROP}"


def _undecoded(dataset: datasets.Dataset, index: int) -> dict[str, Any]:
    import datasets

    known = dataset.select_columns(["image", "row", "name"])
    return known.cast_column("image", datasets.Image(decode=False))[index]


def _named(row: Mapping[str, Any]) -> str:
    return f"row {row['row']} ('{row['name']}')"
