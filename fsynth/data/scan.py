"""Reads every picture of a data set once: what it is, and what tells it from the others.

Pictures are decoded in memory, one at a time in each process; nothing of them is kept but hashes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fsynth import console
from fsynth.data import duplicates, picture_files, reading
from fsynth.errors import DataError, UnreachableError, not_now

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa
    from numpy.typing import NDArray
    from PIL import Image

SMALL = 128
"""Most pixels on a side of what ``seen`` is shown."""
Seen = Callable[[int, "NDArray[np.uint8]"], None]
"""Takes a row and its picture made small, (H, W, 3) RGB."""


@dataclass(frozen=True)
class Reading:
    """How the pictures of a data set are read.

    Attributes:
        most: as many, evenly spread over all; None for all.
        workers: processes that read; see `scan`.
        seen: is shown every readable picture; see `scan`.
    """

    most: int | None = None
    workers: int | None = None
    seen: Seen | None = None

    def some(self, rows: Sequence[int]) -> Sequence[int]:
        """The rows to read."""
        if self.most is None or len(rows) <= self.most:
            return rows
        return [rows[place] for place in np.linspace(0, len(rows) - 1, self.most).round().astype(int)]


ALL = Reading()


def pictures(rows: Sequence[int], paths: Sequence[str]) -> datasets.Dataset:
    """A data set of nothing but pictures, for `scan` where no whole data set can be opened.

    Args:
        rows: number of each.
        paths: what `fsynth.data.picture_files` makes.
    """
    import datasets
    import pyarrow as pa
    from datasets.table import InMemoryTable

    picture_files.register()
    features = datasets.Features({"image": datasets.Image(decode=False), "row": datasets.Value("int32")})
    images = pa.StructArray.from_arrays(
        [pa.nulls(len(rows), pa.binary()), pa.array(paths, pa.string())], ["bytes", "path"]
    )
    table = pa.Table.from_arrays([images, pa.array(rows, pa.int32())], schema=features.arrow_schema)
    return datasets.Dataset(InMemoryTable(table), info=datasets.DatasetInfo(features=features))


def scan(
    dataset: datasets.Dataset,
    workers: int | None = 0,
    twins: datasets.Dataset | None = None,
    seen: Seen | None = None,
) -> pa.Table:
    """Read all pictures, with a progress bar.

    Args:
        dataset: with the columns image and row.
        workers: see `fsynth.data.reading`.
        twins: the pictures of some of these rows from another source, to be compared.
        seen: is shown every readable picture in this process, `SMALL` at most, in the order of the data set.

    Returns:
        a line a picture, in the order of the data set: row (int32), width, height (int32), mode (as stored),
        sha256 (of the size and the RGB pixels), phash, colors (`duplicates`), contrast (float32, standard
        deviation in grey levels 0..255 of the picture at 64 x 64), apart (float32, mean difference from its
        twin in grey levels, the picture brought to the twin's size; null where one of them cannot be read),
        and error (string). Where error is given, the picture cannot be read and all but row is null.

    Raises:
        UnreachableError: the disk or the network is at fault, not a picture.
        DataError: when a worker is killed.
    """
    import pyarrow as pa
    from tqdm import tqdm

    records = _Records(dataset, twins, small=seen is not None)
    batches = []
    quiet = not console.is_main_process()
    with tqdm(total=len(dataset), desc="reading pictures", unit="", disable=quiet) as bar:
        for lines in reading.in_order(records, range(len(dataset)), workers):
            batches.append(pa.RecordBatch.from_pylist(lines, schema=_schema()))
            for line in lines if seen else ():
                if "small" in line:
                    seen(line["row"], line["small"])
            bar.update(len(lines))
    return pa.Table.from_batches(batches, schema=_schema())


class _Records:
    """Pictures as lines of the table: what the loader's workers send home."""

    def __init__(
        self, dataset: datasets.Dataset, twins: datasets.Dataset | None = None, small: bool = False
    ) -> None:
        self.dataset = _undecoded(dataset)
        self.small = small
        self.twins = None if twins is None else _undecoded(twins)
        rows = [] if twins is None else twins["row"][:]
        self.twin_of = {row: place for place, row in enumerate(rows)}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        line = self.dataset[index]
        try:
            picture, mode = _decoded(line["image"])
        except UnreachableError:
            raise
        except (DataError, *picture_files.undecodable()) as error:
            return {"row": line["row"], "error": picture_files.fault(error)}
        apart = self._apart(line["row"], picture)
        small = {"small": _made_small(picture)} if self.small else {}
        return {"row": line["row"], **_describe(picture, mode), "apart": apart, **small}

    def _apart(self, row: int, picture: Image.Image) -> float | None:
        if self.twins is None or row not in self.twin_of:
            return None
        try:
            twin, _ = _decoded(self.twins[self.twin_of[row]]["image"])
        except UnreachableError:
            raise
        except (DataError, *picture_files.undecodable()):
            return None
        return difference(picture, twin)


def difference(picture: Image.Image, other: Image.Image) -> float:
    """Mean difference of two RGB pictures in grey levels, 0..255, at the size of the other (Lanczos)."""
    from PIL import Image

    small = picture.resize(other.size, Image.Resampling.LANCZOS)
    return float(np.abs(np.asarray(small, np.int16) - np.asarray(other, np.int16)).mean())


def _undecoded(dataset: datasets.Dataset) -> datasets.Dataset:
    import datasets

    return dataset.select_columns(["image", "row"]).cast_column("image", datasets.Image(decode=False))


def _decoded(image: dict[str, Any] | None) -> tuple[Image.Image, str]:
    """The picture as RGB, upright as training sees it, and its mode as stored."""
    from PIL import Image, ImageOps

    if image is None or (image["bytes"] is None and image["path"] is None):
        raise DataError("there is no picture; leave the row out")
    content = _content(image["path"]) if image["bytes"] is None else image["bytes"]
    with Image.open(io.BytesIO(content)) as picture:
        mode = picture.mode
        turned = Image.ExifTags.Base.Orientation in picture.getexif()
        return (ImageOps.exif_transpose(picture) if turned else picture).convert("RGB"), mode


def _content(path: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise not_now(path, error) or error from None


def _made_small(picture: Image.Image) -> NDArray[np.uint8]:
    from PIL import Image

    small = picture.copy()
    small.thumbnail((SMALL, SMALL), Image.Resampling.BOX)
    return np.asarray(small)


def _describe(picture: Image.Image, mode: str) -> dict[str, Any]:
    digest = hashlib.sha256(b"%d x %d " % picture.size)
    digest.update(picture.tobytes())
    return {
        "width": picture.width,
        "height": picture.height,
        "mode": mode,
        "sha256": digest.digest(),
        "phash": duplicates.perceptual_hash(picture),
        "colors": duplicates.color_grid(picture),
        "contrast": duplicates.contrast(picture),
    }


def _schema() -> pa.Schema:
    import pyarrow as pa

    numbers, texts, hashes = ("row", "width", "height"), ("mode", "error"), ("sha256", "phash", "colors")
    return pa.schema(
        [(name, pa.int32()) for name in numbers]
        + [(name, pa.string()) for name in texts]
        + [(name, pa.binary()) for name in hashes]
        + [(name, pa.float32()) for name in ("contrast", "apart")]
    )
