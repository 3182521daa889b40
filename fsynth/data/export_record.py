"""What an export says of itself: ``export.json``, written last; until then it is a folder in the making.

Everything is written into a hidden folder inside the export and moved out of it when all is there, so that
neither fsynth nor `datasets` takes a half for a whole.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fsynth.errors import DataError

RECORD = "export.json"
UNFINISHED = ".unfinished"


def read(folder: Path) -> dict[str, Any] | None:
    """The record of a whole export; None of any other folder."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and not (folder / UNFINISHED).exists() else None


def refuse_unfinished(folder: Path) -> None:
    """Stop whoever would read an export that was interrupted.

    Raises:
        DataError: how to go on.
    """
    if (folder / UNFINISHED).is_dir():
        raise DataError(
            f"{folder} is an unfinished export; run the same fsynth data-export again, which goes on "
            "where it stopped, or remove the folder"
        )


def holds_drawings(root: Path | str) -> bool:
    """Whether data are an export of drawn pictures, which other measures judge; addresses are none."""
    return _of(root).get("drawn") is True


def terms(root: Path | str) -> str | None:
    """Under whose terms the pictures of an export are; None for any other data, and for addresses."""
    said = _of(root).get("terms")
    return said if isinstance(said, str) else None


def _of(root: Path | str) -> dict[str, Any]:
    """The record of the export that data are, or are a split or a file of; empty for any other data."""
    if not isinstance(root, Path):
        return {}
    above = read(root.absolute().parent) or {}
    is_part = root.name.startswith(tuple(above.get("rows", ())))
    return read(root) or (above if is_part else {})
