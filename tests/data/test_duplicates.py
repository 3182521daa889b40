"""Exact and near duplicates: what counts as the same picture, and the banded search against comparing all."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from fsynth.data import duplicates


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


def _saved_again(picture: Image.Image) -> Image.Image:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
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
