"""Writers of an export's parts: a folder of pictures, a WebDataset shard, a Parquet file.

A part is written at a place of its own and complete when it is closed. What it holds is a function of the
rows alone: no times, no owners, nothing of the machine.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from fsynth.data.export_rows import Sample
from fsynth.data.labels import LABELS

FOLDER = 1000  # pictures in a folder: file managers and network file systems get slow with more
ROW_GROUP = 100  # rows of Parquet that are read together: about 2 MB of 20 kB pictures
METADATA = "metadata.jsonl"


class Part(Protocol):
    """``lines`` of the split's table, for a format that has one.

    Args:
        place: where it is written; nothing is there.
        name: that it will have in the export.
        limit: most bytes of pictures.
    """

    lines: list[str]

    def __init__(self, place: Path, name: str, limit: int) -> None: ...

    def has_room(self, sample: Sample) -> bool: ...

    def add(self, sample: Sample) -> None: ...

    def close(self) -> None: ...

    @staticmethod
    def name(split: str, number: int, parts: int | None = None) -> str:
        """Of a part in the export; ``parts`` of its split, None where that is not known yet."""


class PictureFolder:
    """At most `FOLDER` picture files, and their lines of ``metadata.jsonl``; ``limit`` does not matter."""

    def __init__(self, place: Path, name: str, limit: int) -> None:
        place.mkdir()
        self.lines: list[str] = []
        self._place, self._folder = place, name.rpartition("/")[2]

    def has_room(self, sample: Sample) -> bool:
        return len(self.lines) < FOLDER

    def add(self, sample: Sample) -> None:
        file = f"{sample.row:08d}{sample.suffix}"
        (self._place / file).write_bytes(sample.content)
        self.lines.append(_json({"file_name": f"{self._folder}/{file}", "text": sample.text}, sample))

    def close(self) -> None: ...

    @staticmethod
    def name(split: str, number: int, parts: int | None = None) -> str:
        return f"{split}/{number:05d}"


class _Sized:
    """Holds as many pictures as have ``limit`` bytes together, one at least."""

    def __init__(self, limit: int) -> None:
        self.lines: list[str] = []
        self._limit, self._bytes = limit, 0

    def has_room(self, sample: Sample) -> bool:
        return not self._bytes or self._bytes + len(sample.content) <= self._limit

    def add(self, sample: Sample) -> None:
        self._bytes += len(sample.content)
        self._write(sample)

    def _write(self, sample: Sample) -> None:
        raise NotImplementedError


class Shard(_Sized):
    """A tar file: ``00000017.jpg``, ``.txt`` with the sentence and ``.json`` with the rest, row by row."""

    def __init__(self, place: Path, name: str, limit: int) -> None:
        super().__init__(limit)
        self._tar = tarfile.TarFile(place, "w", format=tarfile.USTAR_FORMAT)

    def _write(self, sample: Sample) -> None:
        members = (
            (sample.suffix, sample.content),
            (".txt", sample.text.encode()),
            (".json", _json({}, sample).encode()),
        )
        for suffix, content in members:
            info = tarfile.TarInfo(f"{sample.row:08d}{suffix}")
            info.size = len(content)
            self._tar.addfile(info, io.BytesIO(content))

    def close(self) -> None:
        self._tar.close()

    @staticmethod
    def name(split: str, number: int, parts: int | None = None) -> str:
        return f"{split}-{number:05d}.tar"


class ParquetFile(_Sized):
    """A Parquet file that `datasets` opens with a column of pictures and class labels.

    Pictures are not compressed again; a row group is small, for it is read whole for any of its rows.
    """

    def __init__(self, place: Path, name: str, limit: int) -> None:
        from pyarrow import parquet

        super().__init__(limit)
        self._rows: list[dict[str, Any]] = []
        self._schema = _features().arrow_schema
        packed = dict.fromkeys(("text", *LABELS, "name", "row"), "zstd")
        self._file = parquet.ParquetWriter(
            place,
            self._schema,
            compression={**packed, "image.bytes": "none", "image.path": "zstd"},
            use_dictionary=["text", *LABELS],
            write_page_index=True,
        )

    def _write(self, sample: Sample) -> None:
        codes = {
            column: None if name is None else LABELS[column].index(name)
            for column, name in sample.labels.items()
        }
        image = {"bytes": sample.content, "path": f"{sample.row:08d}{sample.suffix}"}
        self._rows.append(
            {"image": image, "text": sample.text, **codes, "name": sample.name, "row": sample.row}
        )
        if len(self._rows) == ROW_GROUP:
            self._flush()

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        import pyarrow as pa

        self._file.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    @staticmethod
    def name(split: str, number: int, parts: int | None = None) -> str:
        return f"{split}-{number:05d}{'' if parts is None else f'-of-{parts:05d}'}.parquet"


FORMATS: dict[str, type[Part]] = {"imagefolder": PictureFolder, "webdataset": Shard, "parquet": ParquetFile}


def write_metadata(folder: Path, lines: Sequence[str]) -> None:
    """The table of a split of picture folders, which makes it one: nobody reads the folder without it."""
    (folder / METADATA).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _json(first: dict[str, Any], sample: Sample) -> str:
    """A row as a line. Labels that are not known are empty texts: readers that guess types by the first rows
    take null for a type of its own."""
    labels = {column: name or "" for column, name in sample.labels.items()}
    return json.dumps({**first, **labels, "name": sample.name, "row": sample.row})


def _features() -> Any:
    import datasets

    from fsynth.data import fashion_synthesis

    columns = fashion_synthesis.columns_of(with_pictures=True)
    columns["image"] = datasets.Image()  # in the colour mode that it is stored with
    return columns
