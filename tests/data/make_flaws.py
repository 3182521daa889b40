"""An archive and an image folder with planted duplicates, small pictures and pictures that cannot be read."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data import make_fixture, make_sources

SIDE = 48
TEST = (0, 4, 8, 12, 16, 20)
"""Test rows of `make_fixture`'s split."""
SIDES = {"train": [row for row in range(make_fixture.ROWS) if row not in TEST], "test": list(TEST)}
ORDER = {
    "archive": list(range(make_fixture.ROWS)),
    "folder": [*SIDES["test"], *SIDES["train"]],
    "parquet": [*SIDES["train"], *SIDES["test"]],
    "shards": [*SIDES["train"], *SIDES["test"]],
}
"""Kind of source -> the row that each of its rows shows; all but the archive number side by side."""
UNREADABLE = {3: "train", 8: "test"}
SMALL = {5: (20, 40), 12: (20, 20)}
"""Row -> size; 12 is a test row, and stays."""
SAME = {1: 0, 9: 7, 10: 7}
"""Row -> the row whose very file it has; 0 is a test row."""
NEARLY = {14: 13}
"""Row -> the row whose picture it is, saved again at half the size and enlarged."""
DROPPED = {1, 3, 5, 8, 9, 10, 14}
"""With all three rules, and pictures below 30 px called small."""


def texture(seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """Smooth spots unlike those of any other seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def jpeg(picture: Image.Image, quality: int = 95) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return content.getvalue()


def contents(rows: int = make_fixture.ROWS) -> list[bytes]:
    """The file of every row."""
    files = [jpeg(texture(row, SMALL.get(row, (SIDE, SIDE)))) for row in range(rows)]
    for row, twin in SAME.items():
        files[row] = files[twin]
    for row, twin in NEARLY.items():
        half = texture(twin).resize((SIDE // 2, SIDE // 2), Image.Resampling.LANCZOS)
        files[row] = jpeg(half.resize((SIDE, SIDE), Image.Resampling.BICUBIC), quality=90)
    for row in UNREADABLE:
        files[row] = b"no picture"
    return files


def source(root: Path, kind: str, changed: Mapping[int, bytes] | None = None) -> Path:
    """A source of one of the kinds in `ORDER`, with the sides of the archive.

    Args:
        changed: rows whose file is another.
    """
    files = dict(enumerate(contents())) | dict(changed or {})
    if kind == "archive":
        return archive(root, files)
    for side, rows in SIDES.items():
        {"folder": _folder, "parquet": _parquet, "shards": _shard}[kind](
            root, side, {row: files[row] for row in rows}
        )
    return root


def _folder(root: Path, side: str, files: Mapping[int, bytes]) -> None:
    lines = [{"file_name": f"{row:02d}.jpg", "text": _text(row)} for row in files]
    make_sources.jsonl(root / side, lines)
    for row, content in files.items():
        (root / side / f"{row:02d}.jpg").write_bytes(content)


def _parquet(root: Path, side: str, files: Mapping[int, bytes]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    images = [{"bytes": content, "path": None} for content in files.values()]
    root.mkdir(parents=True, exist_ok=True)
    parquet.write_table(
        pa.table({"image": images, "text": list(map(_text, files))}), root / f"{side}.parquet"
    )


def _shard(root: Path, side: str, files: Mapping[int, bytes]) -> None:
    members: dict[str, bytes] = {}
    for row, content in files.items():
        members |= {f"{row:02d}.jpg": content, f"{row:02d}.txt": _text(row).encode()}
    make_sources.shard(root / f"{side}.tar", members)


def _text(row: int) -> str:
    return f"the lady wore a red dress number {row}."


def archive(root: Path, files: Mapping[int, bytes] | None = None) -> Path:
    """`make_fixture`'s folder without its HDF5."""
    make_fixture.write_benchmark(root)
    (root / "Img" / "G2.h5").unlink()
    given = files or dict(enumerate(contents()))
    members = {make_fixture.name(row): content for row, content in given.items()}
    make_fixture.save_zip(root / "Img" / "img.zip", make_fixture.ROWS, members=members)
    return root


def folder(root: Path) -> Path:
    """The same pictures as an image folder, without test rows of its own."""
    rows = []
    for row, content in enumerate(contents()):
        file = root / f"{row:02d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        rows.append({"file_name": file.name, "text": _text(row)})
    return make_sources.jsonl(root, rows)
