"""A folder of pictures with a table of sentences: the `datasets` imagefolder convention.

``metadata.jsonl`` or ``metadata.csv`` (``file_name``, ``text``) beside the pictures, in the folder itself or
in ``train/``, ``validation/`` and ``test/`` under it.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from fsynth.data.column_kinds import need_columns
from fsynth.data.labels import LABELS
from fsynth.data.rows import (
    TEXT,
    Listed,
    Opened,
    check_inside,
    check_texts,
    need_files,
    split_named,
)
from fsynth.errors import DataError

TABLES = ("metadata.jsonl", "metadata.csv")
FILE_NAME = "file_name"


def find(root: Path) -> list[Path]:
    """The tables of the folder: its own, or one a split folder."""
    if table := _table_of(root):
        return [table]
    folders = sorted(path for path in root.iterdir() if path.is_dir() and split_named(path.name))
    return [table for folder in folders if (table := _table_of(folder))]


def open_tables(root: Path, tables: list[Path], image_column: str | None, text_column: str | None) -> Opened:
    """Open the tables that `find` found.

    Raises:
        ConfigError: a column that is not there.
        DataError: a broken table, a row without sentence, pictures that are not there.
    """
    image, text = image_column or FILE_NAME, text_column or TEXT
    listed = Listed()
    for table in tables:
        records = read_csv(table) if table.suffix == ".csv" else read_jsonl(table)
        need_columns(records[0], image, text, str(table))
        sentences = check_texts([record.get(text) for record in records], text, str(table))
        folder = table.parent
        split = split_named(folder.name) if folder != root else None
        for record, sentence in zip(records, sentences, strict=True):
            file = check_inside(str(record.get(image)), str(table))
            name = record.get("name")
            path = str((folder / file).absolute())
            listed.add(split, name if isinstance(name, str) else file, sentence, path, record.get("row"))
        need_files(listed.paths[-len(records) :], str(table))
        for column in LABELS:
            listed.labels.setdefault(column, []).extend(record.get(column) or None for record in records)
    return listed.open(f"image folder, {tables[0].name}")


def read_jsonl(table: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file.

    Raises:
        DataError: a line that is no object, a file without any.
    """
    records = []
    for number, line in enumerate(_read(table).split("\n"), 1):  # not at U+2028, which may stand in a text
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise DataError(
                f'line {number} of {table} is no JSON object: write {{"file_name": ..., "text": ...}}'
            )
        records.append(record)
    return _some(records, table)


def read_csv(table: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file whose first line names the columns.

    Raises:
        DataError: a file without rows, or no CSV file.
    """
    try:
        records = list(csv.DictReader(io.StringIO(_read(table), newline="")))
    except csv.Error as error:
        raise DataError(f"{table} is no CSV file ({error}); write it again") from None
    return _some(records, table)


def _some(records: list[dict[str, Any]], table: Path) -> list[dict[str, Any]]:
    if not records:
        raise DataError(f"{table} lists no pictures; write one row a picture")
    return records


def _read(table: Path) -> str:
    try:
        return table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {table} ({error}); it should be a UTF-8 text") from None


def _table_of(folder: Path) -> Path | None:
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)
