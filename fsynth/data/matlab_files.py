"""Writes the benchmark's two MATLAB files, variable by variable as the real ones are on disk.

Both are MATLAB v5, compressed: `language_original.mat` with cells of character rows and column vectors of
doubles, `ind.mat` with column vectors of doubles. The same content gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsynth.data import annotation
from fsynth.data.labels import LABELS
from fsynth.data.listing import Listing, Row

IMG_ROOT = "drawn/Img/"
_HEADER = b"MATLAB 5.0 MAT-file, Platform: any, drawn by fsynth".ljust(116)


def write_annotation(path: Path, rows: Sequence[Row]) -> None:
    """Write `language_original.mat`: captions, codes, names, word numbers."""
    sentences = [row.sentence for row in rows]
    codes = {
        variable: _doubles([LABELS[column].index(getattr(row.labels, column)) + first for row in rows])
        for column, (variable, first) in annotation.CODES.items()
    }
    words = [_doubles(numbers) for numbers in word_numbers(sentences)]
    content = {"engJ": _cells(sentences), "cate_new": codes["cate_new"], "color_": codes["color_"]}
    content |= {"gender_": codes["gender_"], "sleeve_": codes["sleeve_"], "img_root": IMG_ROOT}
    content |= {"nameList": _cells([row.name for row in rows]), "codeJ": _cells(words)}
    _write(path, content)


def write_splits(path: Path, listing: Listing) -> None:
    """Write `ind.mat`: 1-based rows, sorted, and the caption donor of each test row."""
    rows = {"test_ind": listing.test, "train_ind": listing.train, "test_set_pair_ind": listing.pairs}
    _write(path, {name: _doubles(numbers) for name, numbers in rows.items()})


def word_numbers(sentences: Sequence[str]) -> list[list[int]]:
    """The words of each caption as numbers from 1, in order of first appearance over all captions.

    Full stops and commas are deleted first; the rest is split at blanks.
    """
    numbers: dict[str, int] = {}
    split = [sentence.replace(".", "").replace(",", "").split() for sentence in sentences]
    return [[numbers.setdefault(word, len(numbers) + 1) for word in words] for words in split]


def _cells(values: Sequence[Any]) -> np.ndarray:
    cells = np.empty((len(values), 1), dtype=object)
    cells[:, 0] = values
    return cells


def _doubles(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float64).reshape(-1, 1)


def _write(path: Path, content: dict[str, Any]) -> None:
    from scipy import io

    io.savemat(path, content, format="5", do_compression=True)
    with open(path, "r+b") as file:
        file.write(_HEADER)  # scipy writes the time of day there
