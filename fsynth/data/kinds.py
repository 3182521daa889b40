"""What ``--data`` may be, told from what is there.

=============================== ===========================================================================
FashionSynthesis                ``language_original.mat`` anywhere under the folder
image folder                    ``metadata.jsonl`` or ``metadata.csv`` in it, or in its split folders
Parquet, WebDataset             ``*.parquet`` or ``*.tar``: a file, or a folder with them, at most one below;
                                addresses of such files (`addresses`), or a text file with one a line
captions in JSON                ``captions.json`` in the folder, or a JSON file
DeepFashion Category/Attribute  ``list_category_img.txt`` with ``list_eval_partition.txt``
DeepFashion In-shop             ``list_eval_partition.txt`` with items; ``list_description_inshop.json``
hub data set                    ``org/name`` where there is no such folder
=============================== ===========================================================================
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from fsynth.data import (
    addresses,
    caption_file,
    deepfashion,
    export_record,
    hub_data,
    image_folder,
    layout,
    parquet_files,
    shards,
)
from fsynth.data.fashion_synthesis import Ask
from fsynth.data.rows import Opened, by_split
from fsynth.errors import ConfigError, DataError

OpenBenchmark = Callable[[layout.Layout], Opened]

FILE_KINDS: Mapping[str, ModuleType] = {kind.SUFFIX: kind for kind in (parquet_files, shards)}
"""Of several files, alike: those that may also lie elsewhere."""


@dataclass(frozen=True)
class Found:
    """What is there, before it is opened. ``files``: what the module of that kind opens."""

    kind: Literal["image folder", "benchmark", "category", "in-shop", "captions", "files", "hub"]
    files: Any


@dataclass(frozen=True)
class Files:
    """Files of one of `FILE_KINDS`, by split, as paths and addresses."""

    suffix: str
    parts: Mapping[str, Sequence[str]]


def find_benchmark(root: Path | str) -> layout.Layout | None:
    """The files of FashionSynthesis, where `open_kind` would read a folder as that.

    Raises:
        DataError: two different files of one name.
    """
    if isinstance(root, str) or not root.is_dir() or image_folder.find(root):
        return None
    found = layout.find_files(root, layout.FILES)
    return layout.among(root, found) if layout.ANNOTATION in found else None


def open_kind(
    root: Path | str, image_column: str | None, text_column: str | None, benchmark: OpenBenchmark, ask: Ask
) -> Opened:
    """Open what is there.

    Args:
        root: a path, or addresses (`addresses.read`).
        image_column: column of the pictures, where it is not the usual one.
        text_column: column of the sentences, where it is not ``text``.
        benchmark: what opens the files of FashionSynthesis.
        ask: what finds the password of DeepFashion's picture ZIP.

    Raises:
        ConfigError: a column that is not there.
        DataError: nothing that can be read.
        MissingPackage: for addresses whose scheme needs another package.
        PasswordError: when a password is needed and missing or wrong.
    """
    found = find(root)
    columns = image_column, text_column
    if found.kind in ("benchmark", "category", "in-shop", "captions") and any(columns):
        raise ConfigError(
            f"{_WITHOUT_COLUMNS[found.kind]} has no columns to choose; leave --image-column and "
            "--text-column out"
        )
    match found.kind:
        case "files":
            return FILE_KINDS[found.files.suffix].open_files(root, found.files.parts, *columns)
        case "hub":
            return hub_data.open_name(found.files, *columns)
        case "image folder":
            return image_folder.open_tables(root, found.files, *columns)
        case "benchmark":
            return benchmark(found.files)
        case "category":
            return deepfashion.open_category(root, *found.files, ask)
        case "in-shop":
            return deepfashion.open_in_shop(root, *found.files, ask)
        case "captions":
            return caption_file.open_file(found.files)


_WITHOUT_COLUMNS = {
    "benchmark": "FashionSynthesis",
    "category": "DeepFashion",
    "in-shop": "DeepFashion",
    "captions": "a caption file",
}


def find(root: Path | str) -> Found:
    """Tell what is there, in the order of the module text; cheap looks come before the walk through all
    folders.

    Raises:
        DataError: nothing that can be read.
    """
    if isinstance(root, str):
        return _find_addresses(root, addresses.expand(root))
    if root.is_file():
        return _find_file(root)
    if not root.is_dir() and hub_data.is_name(str(root)):
        return Found("hub", str(root))
    layout.need_folder(root)
    export_record.refuse_unfinished(root)
    if tables := image_folder.find(root):
        return Found("image folder", tables)
    found = layout.find_files(root, (*layout.FILES, *deepfashion.FILES))
    if layout.ANNOTATION in found:
        return Found("benchmark", layout.among(root, found))
    if lists := deepfashion.find(root, found):
        return Found(*lists)
    if (root / caption_file.NAME).is_file():
        return Found("captions", root / caption_file.NAME)
    for suffix in FILE_KINDS:
        files = [file for depth in ("*", "*/*") for file in root.glob(f"{depth}{suffix}") if file.is_file()]
        if files:
            below = {str(file): file.relative_to(root) for file in sorted(files)}
            return Found("files", Files(suffix, by_split(below, root)))
    raise DataError(
        f"no {layout.ANNOTATION} under {root}, no metadata.jsonl or metadata.csv, captions.json, *.parquet, "
        f"*.tar or {deepfashion.PARTITION}; point --data at the folder that holds one"
    )


def _find_file(file: Path) -> Found:
    if file.suffix == addresses.LIST_SUFFIX:
        return _find_addresses(str(file), addresses.read_list(file))
    if file.suffix == ".json":
        return Found("captions", file)
    if file.suffix in FILE_KINDS:
        return Found("files", Files(file.suffix, by_split({str(file): Path(file.name)}, file)))
    raise DataError(
        f"{file} is no .parquet, .tar or .json file, nor a .txt that lists such files; point --data at one, "
        "or at a folder"
    )


def _find_addresses(origin: str, files: Sequence[str]) -> Found:
    """All of one kind; on each host their paths below the folder that holds them all tell the splits."""
    paths = {file: addresses.path_of(file) for file in files}
    suffixes = {path.suffix for path in paths.values()}
    suffix = suffixes.pop()
    if suffixes or suffix not in FILE_KINDS:
        strange = next(file for file in files if paths[file].suffix not in FILE_KINDS or suffixes)
        raise DataError(
            f"{addresses.shown(strange)}: an address should name .tar shards or .parquet files, one kind at "
            "a time, such as https://HOST/train-{00000..00009}.tar; fetch anything else to this machine"
        )
    hosts = {file: path.parts[:2] if addresses.is_far(file) else () for file, path in paths.items()}
    together = {
        host: [paths[file].parent for file in files if hosts[file] == host] for host in hosts.values()
    }
    above = {host: os.path.commonpath(folders) for host, folders in together.items()}
    below = {file: path.relative_to(above[hosts[file]]) for file, path in paths.items()}
    return Found("files", Files(suffix, by_split(below, addresses.shown(origin))))
