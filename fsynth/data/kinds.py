"""What ``--data`` may be, told from what is there.

=============================== ===========================================================================
FashionSynthesis                ``language_original.mat`` anywhere under the folder
image folder                    ``metadata.jsonl`` or ``metadata.csv`` in it, or in its split folders
Parquet, WebDataset             ``*.parquet`` or ``*.tar``: a file, or a folder with them, at most one below
captions in JSON                ``captions.json`` in the folder, or a JSON file
DeepFashion Category/Attribute  ``list_category_img.txt`` with ``list_eval_partition.txt``
DeepFashion In-shop             ``list_eval_partition.txt`` with items
hub data set                    ``org/name`` where there is no such folder
=============================== ===========================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fsynth.data import (
    caption_file,
    deepfashion,
    hub_data,
    image_folder,
    layout,
    parquet_files,
    shards,
)
from fsynth.data.rows import Opened
from fsynth.errors import ConfigError, DataError

OpenBenchmark = Callable[[layout.Layout], Opened]


def find_benchmark(root: Path) -> layout.Layout | None:
    """The files of FashionSynthesis, where `open_kind` would read a folder as that.

    Raises:
        DataError: two different files of one name.
    """
    if not root.is_dir() or image_folder.find(root):
        return None
    found = layout.find_files(root, layout.FILES)
    return layout.among(root, found) if layout.ANNOTATION in found else None


def open_kind(
    root: Path, image_column: str | None, text_column: str | None, benchmark: OpenBenchmark
) -> Opened:
    """Open what is there, tried in the order of the module text; cheap looks come before the walk through
    all folders.

    Args:
        image_column: column of the pictures, where it is not the usual one.
        text_column: column of the sentences, where it is not ``text``.
        benchmark: what opens the files of FashionSynthesis.

    Raises:
        ConfigError: a column that is not there.
        DataError: nothing that can be read.
    """
    columns = image_column, text_column
    if root.is_file():
        return _open_file(root, columns)
    if not root.is_dir() and hub_data.is_name(str(root)):
        return hub_data.open_name(str(root), *columns)
    layout.need_folder(root)
    if tables := image_folder.find(root):
        return image_folder.open_tables(root, tables, *columns)
    found = layout.find_files(root, (*layout.FILES, deepfashion.CATEGORY_ROWS, deepfashion.PARTITION))
    if layout.ANNOTATION in found:
        _no_columns(columns, "FashionSynthesis")
        return benchmark(layout.among(root, found))
    if deepfashion.PARTITION in found:
        _no_columns(columns, "DeepFashion")
        partition = found[deepfashion.PARTITION][0]
        if deepfashion.CATEGORY_ROWS in found:
            return deepfashion.open_category(root, found[deepfashion.CATEGORY_ROWS][0], partition)
        if deepfashion.is_in_shop(partition):
            return deepfashion.open_in_shop(root, partition)
    if (root / caption_file.NAME).is_file():
        return _open_file(root / caption_file.NAME, columns)
    for kind in (parquet_files, shards):
        files = [
            file for depth in ("*", "*/*") for file in root.glob(f"{depth}{kind.SUFFIX}") if file.is_file()
        ]
        if files:
            return kind.open_files(root, files, *columns)
    raise DataError(
        f"no {layout.ANNOTATION} under {root}, no metadata.jsonl or metadata.csv, captions.json, *.parquet, "
        f"*.tar or {deepfashion.PARTITION}; point --data at the folder that holds one"
    )


def _open_file(file: Path, columns: tuple[str | None, str | None]) -> Opened:
    for kind in (parquet_files, shards):
        if file.suffix == kind.SUFFIX:
            return kind.open_files(file, [file], *columns)
    if file.suffix == ".json":
        _no_columns(columns, "a caption file")
        return caption_file.open_file(file)
    raise DataError(f"{file} is no .parquet, .tar or .json file; point --data at one, or at a folder")


def _no_columns(columns: tuple[str | None, str | None], kind: str) -> None:
    if any(columns):
        raise ConfigError(f"{kind} has no columns to choose; leave --image-column and --text-column out")
