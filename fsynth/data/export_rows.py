"""Rows as an export takes them: the bytes of a picture as its source stores them, and what belongs to it."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth.console import counted
from fsynth.data import picture_files, reading, row_pictures
from fsynth.data.labels import LABELS
from fsynth.data.zip_members import leaves_folder
from fsynth.errors import DataError, reason

if TYPE_CHECKING:
    import datasets

SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",  # a JPEG with a second picture behind it, as phones take them
    "PNG": ".png",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "GIF": ".gif",
    "TIFF": ".tif",
}
"""Format of a picture -> the ending of its file."""
BATCH = 256
"""Pictures of a table that are looked at together."""
LOOKS = 32  # pictures that a size is judged by


@dataclass(frozen=True)
class Sample:
    """One row. ``content``: the picture; ``labels``: names, None where nothing is known."""

    content: bytes
    suffix: str
    text: str
    labels: dict[str, str | None]
    name: str
    row: int


class Samples:
    """The rows of a split, read one by one."""

    def __init__(self, dataset: datasets.Dataset) -> None:
        self._dataset = dataset.cast_column("image", _undecoded())
        self._names = {column: dataset.features[column].names for column in LABELS}

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        row = self._dataset[index]
        content, suffix = _stored(row, f"row {row['row']} ('{row['name']}')")
        codes = {column: row[column] for column in LABELS}
        labels = {name: None if code is None else self._names[name][code] for name, code in codes.items()}
        return Sample(content, suffix, row["text"], labels, row["name"], row["row"])


def read(dataset: datasets.Dataset, start: int = 0, workers: int | None = 0) -> Iterator[Sample]:
    """The rows of a split from one on, in order.

    Args:
        dataset: with the columns of `fsynth.data.fashion_synthesis`.
        workers: see `fsynth.data.reading`; does not change what is read.

    Raises:
        DataError: a picture that cannot be read, or is none; a worker was killed.
    """
    samples = Samples(dataset)
    for some in reading.in_order(samples, range(start, len(samples)), workers):
        yield from some


def expected_bytes(parts: Sequence[datasets.Dataset]) -> int:
    """About how many bytes the pictures of some splits have, judged by a few that lie far apart."""
    total = 0.0
    for samples in [Samples(part) for part in parts if len(part)]:
        looked = range(0, len(samples), -(-len(samples) // LOOKS))
        total += sum(len(samples[index].content) for index in looked) / len(looked) * len(samples)
    return round(total)


def state_of(parts: Iterable[datasets.Dataset]) -> str:
    """12 hex digits that change with any picture: with size and time of its file or archive, with the version
    of a shard elsewhere, with the content of one that lies in a table."""
    digest = hashlib.sha256()
    for part in parts:
        images = part.select_columns(["image"]).cast_column("image", _undecoded())
        for batch in images.with_format("arrow").iter(BATCH):
            lines = [_state(image) for image in batch.column("image").to_pylist()]
            digest.update("\n".join([*lines, ""]).encode())
    return digest.hexdigest()[:12]


def _undecoded() -> datasets.Image:
    import datasets

    return datasets.Image(decode=False)


def _state(image: dict[str, Any]) -> str:
    path = image["path"] or ""
    if image["bytes"] is not None:
        return f"{len(image['bytes'])} {zlib.crc32(image['bytes'])}"
    if picture_files.is_ours(path):
        return picture_files.state(path)
    return path if "://" in path else picture_files.file_state(path)


def refuse_unsafe_names(names: Sequence[str]) -> None:
    """Stop at names that would leave the folder of whoever unpacks by them; reading refuses members that are
    named so.

    Raises:
        DataError: naming the first.
    """
    unsafe = [name.replace("\\", "/") for name in names if leaves_folder(name)]
    if unsafe:
        count = counted(len(unsafe), "name")
        raise DataError(
            f"{count} would leave the folder of whoever unpacks by them (zip-slip), first {unsafe[0]!r}; do "
            "not unpack these data: get them from their own publisher"
        )


def _stored(row: dict[str, Any], where: str) -> tuple[bytes, str]:
    """The picture as it is stored, and the ending that its format has; rows of an HDF5 become PNG."""
    image, path = row["image"], row["image"]["path"] or ""
    content = image["bytes"] if image["bytes"] is not None else _content(path, where)
    if path.startswith(f"{picture_files.HDF5}:"):
        return _as_png(content), SUFFIXES["PNG"]
    try:
        picture_files.check_picture(content)
    except picture_files.undecodable() as error:
        raise row_pictures.broken(row, error) from None
    return content, _suffix(content, where)


def _content(path: str, where: str) -> bytes:
    import fsspec

    if not path:
        raise DataError(f"{where} has no picture; leave the row out")
    if picture_files.is_ours(path):
        return picture_files.read(path)
    try:
        if "://" not in path:
            return Path(path).read_bytes()
        with fsspec.open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataError(f"the picture of {where} cannot be read ({reason(error)}); get it again") from None


def _as_png(content: bytes) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.save(out, "PNG")
    return out.getvalue()


def _suffix(content: bytes, where: str) -> str:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        kind = picture.format or "of no known format"
    if kind not in SUFFIXES:
        raise DataError(
            f"the picture of {where} is {kind}, which the readers of exports do not know; save it as one of "
            f"{', '.join(SUFFIXES)}"
        )
    return SUFFIXES[kind]
