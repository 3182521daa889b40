"""A JSON file with each picture's sentence, as DeepFashion-MultiModal has it: ``{"name.jpg": "..."}``."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fsynth.data.rows import TEXT, Listed, Opened, check_inside, check_texts, need_files
from fsynth.errors import DataError

NAME = "captions.json"
FOLDERS = ("", "images", "image", "img")
"""Where the pictures may lie beside the file."""

_ITEM = re.compile(r"(MEN|WOMEN)-([^/-]+)-(id_\d+)-([^/]+)")


def open_file(file: Path) -> Opened:
    """Open the pictures that a JSON file describes; no official splits.

    DeepFashion-MultiModal writes folders as dashes: ``WOMEN-Dresses-id_00000002-02_1_front.jpg`` is given
    the name ``WOMEN/Dresses/id_00000002/02_1_front.jpg``, so that its folder is the garment.

    Raises:
        DataError: a broken file, a picture without sentence, pictures that are not there.
    """
    captions = _read(file)
    files = [check_inside(name, str(file)) for name in captions]
    texts = check_texts(list(captions.values()), TEXT, str(file))
    folder = _folder_of(file, files[0])
    listed = Listed(labels={"gender": []})
    for name, text in zip(files, texts, strict=True):
        item = _ITEM.fullmatch(name)
        listed.add(None, "/".join(item.groups()) if item else name, text, str((folder / name).absolute()))
        listed.labels["gender"].append({"MEN": "male", "WOMEN": "female"}[item[1]] if item else None)
    need_files(listed.paths, str(file))
    return listed.open(f"caption file {file.name}")


def _folder_of(file: Path, first: str) -> Path:
    for name in FOLDERS:
        if (file.parent / name / first).is_file():
            return file.parent / name
    places = ", ".join(str(file.parent / name) for name in FOLDERS)
    raise DataError(f"{file} names {first}, which is in none of {places}; put the pictures there")


def _read(file: Path) -> dict[str, object]:
    try:
        captions = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {file} ({error}); it should be a JSON file") from None
    if not isinstance(captions, dict) or not captions:
        raise DataError(f'{file} should hold one JSON object, {{"picture.jpg": "its sentence", ...}}')
    return captions
