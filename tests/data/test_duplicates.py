"""Exact and near duplicates: what counts as the same picture, and the banded search against comparing all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps

from fsynth.data import duplicates, sources

SHARED = Path(__file__).parents[2].parent / "shared/data"


def _scanned(pictures: list[Image.Image | None], rows: list[int] | None = None) -> pa.Table:
    lines = [
        {
            "row": row,
            "sha256": picture and picture.tobytes(),
            "phash": picture and duplicates.perceptual_hash(picture),
            "colors": picture and duplicates.color_grid(picture),
            "contrast": picture and duplicates.contrast(picture),
        }
        for row, picture in zip(rows or range(len(pictures)), pictures, strict=True)
    ]
    kinds = [("row", pa.int32()), *((name, pa.binary()) for name in ("sha256", "phash", "colors"))]
    kinds.append(("contrast", pa.float32()))
    return pa.Table.from_pylist(lines, schema=pa.schema(kinds))


def _texture(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(40, 216, (40, 40, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((128, 128), Image.Resampling.BICUBIC)


def _saved_again(picture: Image.Image, quality: int = 80) -> Image.Image:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return Image.open(io.BytesIO(content.getvalue()))


def test_equal_pictures_are_exact_duplicates_and_unreadable_rows_are_none():
    a, b = _texture(0), _texture(1)
    scanned = _scanned([b, a, None, a, None, b, a], rows=[3, 4, 5, 9, 10, 11, 12])
    assert duplicates.exact_groups(scanned) == [[3, 11], [4, 9, 12]]
    assert duplicates.near_groups(scanned) == []


def test_a_picture_saved_again_or_made_smaller_is_near():
    a, b = _texture(0), _texture(1)
    half = a.resize((64, 64), Image.Resampling.LANCZOS)
    scanned = _scanned([a, b, _saved_again(a), half, a, _texture(2)])
    assert duplicates.near_groups(scanned) == [[0, 2, 3, 4]]


def test_the_same_picture_in_other_colours_is_not_near():
    red, green, blue = _texture(0).convert("L").convert("RGB").split()
    grey = Image.merge("RGB", (red, green, blue))
    tinted = Image.merge("RGB", (red.point(lambda v: v * 0.5), green, blue.point(lambda v: min(255, v * 2))))
    near = duplicates.near_pairs(
        np.stack(
            [np.frombuffer(duplicates.perceptual_hash(picture), np.uint8) for picture in (grey, tinted)]
        ),
        40,
    )
    assert len(near) == 1  # the hash alone would take them for one
    assert duplicates.near_groups(_scanned([grey, tinted]), 40) == []


def test_blank_pictures_are_exact_duplicates_only():
    white, dirty = Image.new("RGB", (64, 64), "white"), Image.new("RGB", (64, 64), "white")
    dirty.putpixel((0, 0), (254, 254, 254))
    scanned = _scanned([white, dirty, white])
    assert duplicates.contrast(white) == 0 and duplicates.contrast(dirty) < duplicates.BLANK
    assert duplicates.exact_groups(scanned) == [[0, 2]] and duplicates.near_groups(scanned) == []


def test_contrast_is_the_spread_of_grey_levels():
    halves = Image.new("L", (64, 64))
    halves.paste(200, (0, 0, 32, 64))
    assert duplicates.contrast(halves) == 100


@pytest.mark.parametrize("count, distance", [(300, 10), (200, 3), (100, 0), (2, 10), (1, 10), (0, 10)])
def test_the_banded_search_finds_what_comparing_all_finds(count, distance):
    rng = np.random.default_rng(count)
    bits = rng.random((max(1, count // 8), 256)) < 0.5
    bits = bits[rng.integers(0, len(bits), count)] ^ (rng.random((count, 256)) < 0.02)
    apart = (bits[:, None] != bits[None]).sum(axis=-1)
    wanted = np.argwhere(np.triu(apart <= distance, 1))
    assert np.array_equal(
        duplicates.near_pairs(np.packbits(bits, axis=1).reshape(count, 32), distance), wanted
    )
    assert count < 100 or distance == 0 or len(wanted) > 2


def test_blocks_of_pairs_are_complete(monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", 7)
    pairs = duplicates.near_pairs(np.zeros((12, 32), np.uint8), 2)
    assert len(pairs) == 12 * 11 // 2


def test_groups_are_chains():
    """Two pictures that both look like a third are in one group."""
    hashes = np.zeros((3, 32), np.uint8)
    hashes[1, 0], hashes[2, :2] = 0xFF, 0xFF
    table = pa.table(
        {
            "row": pa.array([0, 1, 2], pa.int32()),
            "sha256": [b"a", b"b", b"c"],
            "phash": [hash_.tobytes() for hash_ in hashes],
            "colors": [bytes(48)] * 3,
            "contrast": [50.0] * 3,
        }
    )
    assert duplicates.near_groups(table) == [[0, 1, 2]]
    assert duplicates.near_groups(table, 7) == []


# ------------------------------------------------------------------------------------------ real photos


@pytest.fixture(scope="module")
def photos():
    root = SHARED / "clothing-photos-300"
    if not root.is_dir():
        pytest.skip("no real photos here")
    source = sources.open_source(root, root / "password.txt")
    return [row["image"].convert("RGB") for row in source.train.select(range(100))]


def _found(photos, change) -> int:
    """How many are near duplicates of what they are changed to."""
    return sum(bool(duplicates.near_groups(_scanned([photo, change(photo)]))) for photo in photos)


def test_photos_saved_again_or_halved_are_found(photos):
    assert _found(photos, lambda photo: _saved_again(photo, quality=60)) == len(photos)
    assert _found(photos, lambda photo: photo.resize((128, 128), Image.Resampling.LANCZOS)) == len(photos)


def test_crops_and_mirror_images_of_photos_are_not_as_the_readme_says(photos):
    assert _found(photos, lambda photo: photo.crop((3, 3, photo.width - 3, photo.height - 3))) < 10
    assert not _found(photos, ImageOps.mirror)
