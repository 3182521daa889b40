"""Width and height of pictures, read off their headers: nothing is decoded.

Those of many pictures are kept in the cache folder, as numbers under a hash of the pictures' identities: to
get at a header in an archive, the whole picture has to be unpacked.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsynth import outputs
from fsynth.data import picture_files, picture_identity
from fsynth.data.row_pictures import row_of

if TYPE_CHECKING:
    import datasets

_MANY = 1000
"""Pictures whose sizes are worth a file."""
_TURNED = (5, 6, 7, 8)
"""Values of EXIF's orientation that exchange width and height; `datasets` turns such pictures upright."""


def find(
    dataset: datasets.Dataset, positions: Sequence[int], identities: Sequence[str]
) -> list[tuple[int, int]]:
    """(width, height) of each picture as it is shown, in pixels.

    Args:
        dataset: with the columns image, name and row.
        positions: in ``dataset``, from 0.
        identities: of these pictures (`picture_identity.identities`).

    Raises:
        DataError: a picture that cannot be read.
    """
    if len(positions) < _MANY:
        return _read(dataset, positions)
    name = hashlib.sha256("\n".join(identities).encode()).hexdigest()[:32]
    file = outputs.cache_folder() / "sizes" / f"{name}.json"
    found = _kept(file, len(positions))
    if found is None:
        found = _read(dataset, positions)
        outputs.write_text(outputs.make_folder(file.parent) / file.name, json.dumps(found))
    return found


def _read(dataset: datasets.Dataset, positions: Sequence[int]) -> list[tuple[int, int]]:
    images = picture_identity.undecoded(dataset, positions)
    return [
        _size(image) or row_of(dataset, position)["image"].size  # which also says what is wrong with it
        for position, image in zip(positions, images, strict=True)
    ]


def _size(image: dict) -> tuple[int, int] | None:
    """None where the header does not tell."""
    from PIL import Image

    try:
        content = image["bytes"] if image["bytes"] is not None else _content(image["path"])
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            turned = picture.getexif().get(Image.ExifTags.Base.Orientation) in _TURNED
    except (TypeError, *picture_files.undecodable()):
        return None
    return (height, width) if turned else (width, height)


def _content(path: str) -> bytes:
    return picture_files.read(path) if picture_files.is_ours(path) else Path(path).read_bytes()


def _kept(file: Path, count: int) -> list[tuple[int, int]] | None:
    try:
        found = [(width, height) for width, height in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return None
    return found if len(found) == count else None
