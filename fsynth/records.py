"""Reading the records that runs, samples and models consist of; what is broken is named in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fsynth.errors import FsynthError


def read(path: Path, kind: type[FsynthError], advice: str) -> dict[str, Any]:
    """The names and values in a ``.json`` or ``.yaml`` file.

    Args:
        kind: of the error.
        advice: what to do when the file is broken.

    Raises:
        kind: when the file cannot be read or holds no names, with the reason.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else _parsed_yaml(text)
    except OSError as error:
        why = error.strerror or str(error)
    except ValueError as error:
        why = f"it is not {path.suffix[1:].upper()}: {str(error).splitlines()[0]}"
    else:
        if isinstance(values, dict):
            return values
        why = f"it holds a {type(values).__name__}, no settings" if values is not None else "it is empty"
    raise kind(f"{path} cannot be read ({why}); {advice}")


def _parsed_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
