"""An archive and an image folder with planted duplicates, small pictures and pictures that cannot be read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data import make_fixture, make_sources

SIDE = 48
TEST = (0, 4, 8, 12, 16, 20)
"""Test rows of `make_fixture`'s split."""
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


def archive(root: Path) -> Path:
    """`make_fixture`'s folder without its HDF5."""
    make_fixture.write_benchmark(root)
    (root / "Img" / "G2.h5").unlink()
    members = {make_fixture.name(row): content for row, content in enumerate(contents())}
    make_fixture.save_zip(root / "Img" / "img.zip", make_fixture.ROWS, members=members)
    return root


def folder(root: Path) -> Path:
    """The same pictures as an image folder, without test rows of its own."""
    rows = []
    for row, content in enumerate(contents()):
        file = root / f"{row:02d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        rows.append({"file_name": file.name, "text": f"the lady wore a red dress number {row}."})
    return make_sources.jsonl(root, rows)
