"""Which pictures of a scanned data set are the same, exactly or nearly. Pure: reads no picture twice.

Two pictures are exact duplicates when their decoded pixels are equal, and near ones when their perceptual
hashes differ in at most `NEAR` of 256 bits and their colours on a 4 x 4 grid by at most `NEAR_COLOR` levels.
The hash is the discrete cosine transform's (C. Zauner, "Implementation and Benchmarking of Perceptual Image
Hash Functions", 2010) with 256 bits instead of 64: figures on a plain ground share their 64 coarsest bits.
The hash sees no colour, so the grid tells one garment in two colours apart.

Not found: mirror images (128 bits), and crops: with 1 of 256 px off each edge 244 of 300 photos are, with
3 px 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
    from PIL import Image

SIDE, KEPT = 64, 16
"""The picture is shrunk to SIDE x SIDE, and the KEPT x KEPT coarsest frequencies are hashed."""
GRID = 4
NEAR = 10
"""Bits. 300 photos of 256 px move by up to 10 when saved again as JPEG of quality 60, by up to 8 at half the
size; at quality 30, 5 of them move by more. Different photos are at least 64 apart, 6,000 drawn ones 16."""
NEAR_COLOR = 8.0
"""Levels of 0..255, mean over the grid."""
BLANK = 2.0
"""Levels of contrast: what has less is of one colour, and its hash says nothing. Compared with no other."""
_BLOCK = 2**20  # pairs compared at once


def perceptual_hash(picture: Image.Image) -> bytes:
    """32 bytes: for each coarse frequency of the grey picture, whether it is above their median."""
    from PIL import Image
    from scipy import fft

    small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    coarse = fft.dctn(np.asarray(small, np.float32), norm="ortho")[:KEPT, :KEPT].ravel()
    return np.packbits(coarse > np.median(coarse[1:])).tobytes()


def contrast(picture: Image.Image) -> float:
    """Standard deviation of the grey picture at SIDE x SIDE, in levels of 0..255."""
    from PIL import Image

    return float(np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)).std())


def color_grid(picture: Image.Image) -> bytes:
    """48 bytes: the mean RGB of each field of a 4 x 4 grid."""
    from PIL import Image

    return picture.convert("RGB").resize((GRID, GRID), Image.Resampling.BOX).tobytes()


def groups(scanned: pa.Table) -> dict[str, list[list[int]]]:
    """``exact`` and ``near`` groups of rows."""
    return {"exact": exact_groups(scanned), "near": near_groups(scanned)}


def exact_groups(scanned: pa.Table) -> list[list[int]]:
    """Rows with the same pixels, in groups of two and more, by their first row.

    Args:
        scanned: the table of `fsynth.data.scan.scan`; unreadable rows count for nothing.
    """
    readable = _readable(scanned)
    return grouped(readable["row"].to_numpy(), _same(readable["sha256"].to_pylist()))


def near_groups(scanned: pa.Table, distance: int = NEAR) -> list[list[int]]:
    """Rows that look the same, in groups that hold at least two different pictures, by their first row.

    Blank pictures count for nothing: near ones are as many as there are pairs of them.

    A group is a chain: its first and last picture may differ more than neighbours do.
    """
    from pyarrow import compute

    readable = _readable(scanned)
    readable = readable.filter(compute.greater_equal(readable["contrast"], BLANK))
    if readable.num_rows < 2:
        return []
    hashes, colors = (_matrix(readable[name].to_pylist()) for name in ("phash", "colors"))
    which = _same([row.tobytes() for row in np.concatenate([hashes, colors], axis=1)])
    _, firsts = np.unique(which, return_index=True)
    hashes, colors = hashes[firsts], colors[firsts]
    pairs = near_pairs(hashes, distance)
    apart = np.abs(colors[pairs[:, 0]].astype(np.int16) - colors[pairs[:, 1]]).mean(axis=1)
    linked = components(len(firsts), pairs[apart <= NEAR_COLOR])
    groups = grouped(readable["row"].to_numpy(), linked[which])
    exact = {tuple(group) for group in exact_groups(scanned)}
    return [group for group in groups if tuple(group) not in exact]


def near_pairs(hashes: NDArray[np.uint8], distance: int) -> NDArray[np.int64]:
    """All pairs of hashes at most ``distance`` bits apart, (P, 2), each once, the lower index first.

    Hashes that differ in d bits agree in one of d + 1 bands: only those that share a band are compared.
    A band takes every (d + 1)-th bit, for neighbouring ones are alike: the coarsest 23 tell little apart.

    Args:
        hashes: (N, bytes).
        distance: bits, from 0.
    """
    bits = np.unpackbits(hashes, axis=1)
    words = np.ascontiguousarray(hashes).view(np.uint64)
    found = [np.empty(0, np.int64)]
    for band in (bits[:, start :: distance + 1] for start in range(distance + 1)):
        for pairs in _sharing(np.packbits(band, axis=1)):
            near = pairs[_distances(words, pairs) <= distance]
            found.append(near[:, 0] * len(hashes) + near[:, 1])
    return np.stack(np.divmod(np.unique(np.concatenate(found)), max(1, len(hashes))), axis=1)


def _sharing(keys: NDArray[np.uint8]) -> Iterator[NDArray[np.int64]]:
    """Pairs of rows with equal keys, in blocks."""
    _, which = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    sizes = np.bincount(which.ravel())
    left = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(order)) - 1  # members after each in its bucket
    for part in _parts(left):
        yield _following(order, part, left[part])


def _parts(left: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Positions that have followers, cut so that each part makes about `_BLOCK` pairs."""
    having = np.flatnonzero(left)
    cuts = np.flatnonzero(np.diff(np.cumsum(left[having]) // _BLOCK)) + 1
    return [part for part in np.split(having, cuts) if len(part)]


def _following(
    order: NDArray[np.int64], positions: NDArray[np.int64], left: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Each position paired with the ``left`` positions after it, as rows."""
    first = np.repeat(positions, left)
    step = np.arange(len(first)) - np.repeat(np.cumsum(left) - left, left) + 1
    return np.sort(np.stack([order[first], order[first + step]], axis=1), axis=1)


def _distances(words: NDArray[np.uint64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    differing = words[pairs[:, 0]] ^ words[pairs[:, 1]]
    return np.unpackbits(differing.view(np.uint8), axis=1).sum(axis=1, dtype=np.int64)


def components(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the connected part that each of ``count`` things is in; ``pairs`` (P, 2) are linked."""
    from scipy import sparse
    from scipy.sparse import csgraph

    first, second = pairs.astype(np.int32).T  # older SciPy groups wrongly by 64 bits, and no more than prints
    graph = sparse.coo_array((np.ones(len(pairs), bool), (first, second)), (count, count))
    return csgraph.connected_components(graph, directed=False)[1]


def grouped(rows: NDArray[np.int64], which: NDArray[np.int64]) -> list[list[int]]:
    """Rows of the same number together, sorted, where they are several; by their first row."""
    members: dict[int, list[int]] = {}
    for row, group in sorted(zip(rows.tolist(), which.tolist(), strict=True)):
        members.setdefault(group, []).append(row)
    return sorted(group for group in members.values() if len(group) > 1)


def _same(keys: Sequence[bytes]) -> NDArray[np.int64]:
    """Number of each key in the order of first appearance."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _readable(scanned: pa.Table) -> pa.Table:
    from pyarrow import compute

    return scanned.filter(compute.is_valid(scanned["sha256"]))


def _matrix(values: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(values), np.uint8).reshape(len(values), -1)
