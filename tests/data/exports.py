"""Exports for tests: written with few settings, read with and without fsynth."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fsynth.commands import data_export
from fsynth.config import DataExportConfig
from fsynth.data import export_formats, sources

FORMATS = ("imagefolder", "webdataset", "parquet")


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several parts of few rows: five pictures, or about 4 kB of them."""
    monkeypatch.setattr(export_formats, "FOLDER", 5)
    monkeypatch.setattr(export_formats, "ROW_GROUP", 3)
    monkeypatch.setattr(data_export, "MEGABYTE", 4000)


def export(data: Path, output: Path, format: str = "imagefolder", **more) -> data_export.DataExportResult:
    settings = {"yes": True, "workers": 0, "shard_size": 1, **more}
    return data_export.main(DataExportConfig(data=data, output=output, format=format, **settings))


def benchmark(folder: Path, output: Path, format: str = "imagefolder", **more):
    return export(folder, output, format, password_file=folder / "password.txt", **more)


def rows(source: sources.Source) -> list[dict]:
    """All that a source says of its rows, pixels included, by row."""
    parts = {"train": source.train, "validation": source.validation, "test": source.test}
    rows = [{**row, "side": side} for side, part in parts.items() if part is not None for row in part]
    for row in rows:
        picture = row.pop("image")
        row["pixels"] = (picture.size, hashlib.sha256(picture.tobytes()).hexdigest())
    return sorted(rows, key=lambda row: row["row"])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(output: Path, format: str) -> dict[int, bytes]:
    """Row -> bytes of its picture in an export, read without fsynth."""
    import tarfile

    from pyarrow import parquet

    found = {}
    if format == "imagefolder":
        return {int(path.stem): path.read_bytes() for path in output.rglob("*.jpg")}
    if format == "parquet":
        for file in output.glob("*.parquet"):
            rows = parquet.read_table(file).to_pylist()
            found |= {row["row"]: row["image"]["bytes"] for row in rows}
        return found
    for file in output.glob("*.tar"):
        with tarfile.open(file) as tar:
            members = [name for name in tar.getnames() if name.endswith(".jpg")]
            found |= {int(name[:-4]): tar.extractfile(name).read() for name in members}
    return found
