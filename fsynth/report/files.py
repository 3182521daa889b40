"""Reading the records in a run folder; what is broken is named in one line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from fsynth import records
from fsynth.errors import DataError
from fsynth.report.retrieval_files import CASES, FOLDER

AGAIN = "run its command again"
_SAYS_DRAWN = (
    "result.json",
    "sampling.json",
    "agreement.json",
    "report.json",
    f"{FOLDER}/{CASES}",
)


def record_of(path: Path) -> dict[str, Any] | None:
    """The names and values of a .json or .yaml file; None where there is none."""
    return records.read(path, DataError, AGAIN) if path.is_file() else None


def drawn_of(folder: Path) -> bool:
    """Whether a command's folder says that it is about drawn data."""
    found = (record_of(folder / name) for name in _SAYS_DRAWN)
    return any(record is not None and record.get("drawn") for record in found)


def json_lines_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON lines file, without a torn last one: its writer was stopped meanwhile."""
    rows: list[dict[str, Any]] = []
    try:
        text = path.read_text(encoding="utf-8")
        lines = [line for line in text.split("\n") if line.strip()]
        for line in lines:
            rows.append(_mapping(json.loads(line), path))
    except ValueError as error:
        if not (rows and len(rows) == len(lines) - 1 and not text.endswith("\n")):
            raise DataError(f"{path} is not JSON lines ({error}); {AGAIN}") from None
    return rows


def content_of(thumbnail: Path) -> bytes:
    """A thumbnail's file, which is a whole picture."""
    from PIL import Image

    try:
        content = thumbnail.read_bytes()
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
    except OSError as error:
        why = error.strerror or "it is not a whole picture"
        raise DataError(f"{thumbnail} cannot be read ({why}); {AGAIN}, or take --no-pictures") from None
    return content


def _mapping(values: Any, path: Path) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise DataError(f"{path} holds a {type(values).__name__} in place of names; {AGAIN}")
    return values
