"""Parquet files with a column of pictures and one of sentences.

`datasets` opens them: it keeps an Arrow copy in its cache, from which any picture is read at random.
"""

from __future__ import annotations

from pathlib import Path

from fsynth.data.rows import Opened, by_split, from_columns
from fsynth.errors import DataError, reason

SUFFIX = ".parquet"


def open_files(root: Path, files: list[Path], image_column: str | None, text_column: str | None) -> Opened:
    """Open one file or those of a folder; their names or folders tell the splits.

    Raises:
        ConfigError: a column that is not there.
        DataError: a broken file, a row without sentence.
    """
    import datasets

    parts = by_split(root if root.is_dir() else root.parent, files)
    data_files = {name: [str(file) for file in chosen] for name, chosen in parts.items()}
    try:
        opened = datasets.load_dataset("parquet", data_files=data_files)
    except Exception as error:  # datasets wraps what Arrow says in errors of its own
        raise DataError(
            f"cannot read the Parquet files of {root} ({reason(error.__cause__ or error)})"
        ) from None
    return from_columns(opened, f"Parquet ({len(files)} files)", image_column, text_column, str(root))
