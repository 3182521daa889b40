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
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise DataError(f"{path} is not JSON lines ({error}); run its command again") from None
    return [_mapping(line, path) for line in lines]


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
