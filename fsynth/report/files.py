"""Reading the records in a run folder; what is broken is named in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fsynth.errors import DataError


def json_of(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return _mapping(json.loads(path.read_text(encoding="utf-8")), path)
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); run its command again") from None


def json_lines_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON lines file, without a torn last one: its writer was stopped meanwhile."""
    rows: list[dict[str, Any]] = []
    try:
        text = path.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line.strip()]
        for line in lines:
            rows.append(_mapping(json.loads(line), path))
    except ValueError as error:
        if not (rows and len(rows) == len(lines) - 1 and not text.endswith("\n")):
            raise DataError(f"{path} is not JSON lines ({error}); run its command again") from None
    return rows


def yaml_of(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    import yaml

    try:
        return _mapping(yaml.safe_load(path.read_text(encoding="utf-8")), path)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not YAML ({str(error).splitlines()[0]}); run its command again") from None


def _mapping(values: Any, path: Path) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise DataError(f"{path} holds a {type(values).__name__} in place of names; run its command again")
    return values
