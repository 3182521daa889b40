"""Parquet files with a column of pictures and one of sentences.

`datasets` opens them: it keeps an Arrow copy in its cache, from which any picture is read at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fsynth.data.rows import Opened, from_columns
from fsynth.errors import DataError, reason

SUFFIX = ".parquet"


def open_files(
    origin: Path | str, parts: Mapping[str, Sequence[str]], image_column: str | None, text_column: str | None
) -> Opened:
    """Open Parquet files.

    Args:
        origin: how messages name them all.
        parts: split -> paths.

    Raises:
        ConfigError: a column that is not there.
        DataError: a broken file, a row without sentence.
    """
    import datasets

    files = [file for chosen in parts.values() for file in chosen]
    try:
        opened = datasets.load_dataset(
            "parquet", data_files={name: [*chosen] for name, chosen in parts.items()}
        )
    except Exception as error:  # datasets wraps what Arrow says in errors of its own
        raise DataError(
            f"cannot read the Parquet files of {origin} ({reason(error.__cause__ or error)})"
        ) from None
    return from_columns(opened, f"Parquet ({len(files)} files)", image_column, text_column, str(origin))
