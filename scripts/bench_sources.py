"""The same pictures as plain files, encrypted ZIPs and a tar shard, for scripts/bench_data.py."""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsynth.data import fashion_synthesis, listing, matlab_files, picture_files, zip_writer
from fsynth.data.archive import Archive
from fsynth.data.passwords import remember_password

if TYPE_CHECKING:
    import datasets

PASSWORD = b"bench"
QUALITIES = range(75, 101)

Members = list[tuple[str, bytes]]


def contents(dataset: datasets.Dataset, pictures: int) -> Members:
    """Names and files of pictures of a data set whose paths are ours or plain, at most so many."""
    paths = [value["path"] for value in dataset.data.column("image").to_pylist()][:pictures]
    return [(f"{index:08d}.jpg", _file(path)) for index, path in enumerate(paths)]


def _file(path: str) -> bytes:
    return picture_files.read(path) if picture_files.is_ours(path) else Path(path).read_bytes()


def near(members: Members, size: int) -> Members:
    """The pictures saved again, with the quality that brings their mean nearest to ``size`` bytes."""
    sample = members[:: max(1, len(members) // 20)]
    quality = min(QUALITIES, key=lambda q: abs(_mean([_saved(content, q) for _, content in sample]) - size))
    return [(name, _saved(content, quality)) for name, content in members]


def _saved(content: bytes, quality: int) -> bytes:
    from PIL import Image

    saved = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").save(saved, "JPEG", quality=quality)
    return saved.getvalue()


def _mean(contents: Sequence[bytes]) -> float:
    return sum(map(len, contents)) / len(contents)


def mean_size(members: Members) -> float:
    """Bytes."""
    return _mean([content for _, content in members])


def plain(folder: Path, members: Members) -> datasets.Dataset:
    """A folder of files, as `datasets` reads one."""
    folder.mkdir()
    for name, content in members:
        (folder / name).write_bytes(content)
    return _table(members, [str(folder / name) for name, _ in members])


def zipped(file: Path, members: Members, encryption: str) -> datasets.Dataset:
    """An encrypted ZIP; ``encryption`` as the writer names it."""
    zip_writer.write_encrypted_zip(file, members, PASSWORD, encryption=encryption, compress=True)
    remember_password(PASSWORD, file)
    return _table(members, picture_files.zip_paths(file, [name for name, _ in members]))


def shard(file: Path, members: Members) -> datasets.Dataset:
    """A tar file."""
    with tarfile.open(file, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with tarfile.open(file) as tar:
        places = [(entry.name, entry.offset_data, entry.size) for entry in tar]
        paths = picture_files.tar_paths(file, places)
    return _table(members, paths)


def benchmark(folder: Path, members: Members, rows: int) -> Path:
    """A folder in the benchmark's formats with so many rows, the pictures repeated as often as needed."""
    listed = listing.invent(rows, held_out=rows // 4, seed=0, balance=0.5)
    for name in ("Anno", "Eval", "Img"):
        (folder / name).mkdir(parents=True)
    matlab_files.write_annotation(folder / "Anno/language_original.mat", listed.rows)
    matlab_files.write_splits(folder / "Eval/ind.mat", listed)
    repeated = itertools.cycle(content for _, content in members)
    named = ((row.name, content) for row, content in zip(listed.rows, repeated, strict=False))
    zip_writer.write_encrypted_zip(folder / "Img/img.zip", named, PASSWORD, compress=True)
    (folder / "password.txt").write_bytes(PASSWORD)
    return folder


def archive_of(file: Path) -> Archive:
    """One that `zipped` has written."""
    return Archive(file, PASSWORD)


def _table(members: Members, paths: Sequence[str]) -> datasets.Dataset:
    count = len(members)
    columns = {"text": ["a picture."] * count, "name": [name for name, _ in members]}
    codes = {name: [0] * count for name in ("gender", "sleeve", "category", "color")}
    return fashion_synthesis.in_memory({**columns, **codes}, paths)
