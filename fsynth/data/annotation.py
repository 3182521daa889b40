"""The benchmark's two MATLAB files: sentences and codes of every row, and the official split.

Rows and codes are 1-based in the files (gender from 0) and 0-based from here on: converted once, here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fsynth.data import labels
from fsynth.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXT, NAMES, WORDS = "engJ", "nameList", "codeJ"
CODES = {
    "gender": ("gender_", 0),
    "sleeve": ("sleeve_", 1),
    "category": ("cate_new", 1),
    "color": ("color_", 1),
}
"""Column -> (variable in the file, code of the first label)."""
VARIABLES = (TEXT, NAMES, *(variable for variable, _ in CODES.values()))
SPLITS = ("train_ind", "test_ind")


@dataclass(frozen=True)
class Annotation:
    """One entry per row of ``language_original.mat``; labels are 0-based indices into `labels.LABELS`."""

    path: Path
    text: list[str]
    name: list[str]
    codes: dict[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True)
class Splits:
    """0-based rows of the official split, each sorted, disjoint, together all rows."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def read(path: Path, other_counts: dict[str, int] | None = None) -> Annotation:
    """Read ``language_original.mat``.

    Args:
        path: the file.
        other_counts: row counts found elsewhere (what it is -> rows), which must agree with the file's.

    Raises:
        DataError: when the file is not what it should be, or row counts differ (one error names them all).
    """
    counts = variable_counts(path)
    check_counts(path, counts, other_counts or {})
    if counts[TEXT] == 0:
        raise DataError(f"{path} has no rows; download it again")
    content = variables(path)
    return Annotation(
        path,
        strings(path, TEXT, content),
        strings(path, NAMES, content),
        {column: codes(path, column, content) for column in CODES},
    )


def variable_counts(path: Path) -> dict[str, int]:
    """Rows of each variable that `read` needs, and of the word numbers where there are any.

    Raises:
        DataError: when the file cannot be read or lacks a variable.
    """
    counts = {name: _length(shape) for name, shape in _shapes(path).items() if name in (*VARIABLES, WORDS)}
    missing = [name for name in VARIABLES if name not in counts]
    if missing:
        raise DataError(f"{path} lacks the variable {missing[0]}; it is not the benchmark's annotation")
    return counts


def variables(path: Path) -> dict[str, Any]:
    """The variables that `strings` and `codes` take, as the file has them.

    Raises:
        DataError: when the file cannot be read.
    """
    return _load(path, VARIABLES)


def check_counts(path: Path, counts: dict[str, int], other_counts: dict[str, int]) -> None:
    """Compare row counts: ``counts`` of the annotation's variables with each other and with ``other_counts``.

    Raises:
        DataError: one line that names every count that differs.
    """
    rows = counts[TEXT]
    wrong = [f"{name} {count:,}" for name, count in {**counts, **other_counts}.items() if count != rows]
    if wrong:
        raise DataError(
            f"row counts differ: {TEXT} in {path} has {rows:,} rows, but {', '.join(wrong)}; "
            "the files are of different releases or cut short: download them again"
        )


def read_splits(path: Path, rows: int) -> Splits:
    """Read ``ind.mat``: the official training and test rows.

    Args:
        path: the file.
        rows: how many rows the annotation has.

    Raises:
        DataError: when a row is outside 1..rows, stands twice, is in both splits or in neither.
    """
    numbers = split_numbers(path)
    for fault in split_faults(path, numbers, rows):
        raise fault
    return Splits(*(np.unique(numbers[name]) - 1 for name in SPLITS))


def split_numbers(path: Path) -> dict[str, NDArray[np.int64]]:
    """``train_ind`` and ``test_ind`` as they stand in the file, rows counted from 1.

    Raises:
        DataError: when the file cannot be read, lacks one of them, or holds other than whole numbers.
    """
    content = _load(path, SPLITS)
    for name in SPLITS:
        if name not in content:
            raise DataError(f"{path} lacks the variable {name}; it is not the benchmark's split")
    return {name: _whole_numbers(path, name, content[name]) for name in SPLITS}


def split_faults(path: Path, numbers: dict[str, NDArray[np.int64]], rows: int) -> Iterator[DataError]:
    """All that keeps the two lists of `split_numbers` from being a split of ``rows`` rows."""
    for name in SPLITS:
        yield from _list_faults(path, name, numbers[name], rows)
    train, test = (numbers[name] for name in SPLITS)
    both = np.intersect1d(train, test)
    if len(both):
        yield DataError(
            f"{path}: {len(both):,} rows are in train_ind and in test_ind (first: row {both[0]}); "
            "scores would count training pictures: use the benchmark's own ind.mat"
        )
    neither = np.setdiff1d(np.arange(1, rows + 1), np.concatenate([train, test]))
    if len(neither):
        yield DataError(
            f"{path}: {len(neither):,} of {rows:,} rows are in neither train_ind nor test_ind "
            f"(first: row {neither[0]}); use the ind.mat of the same release as the annotation"
        )


def _list_faults(path: Path, name: str, numbers: NDArray[np.int64], rows: int) -> Iterator[DataError]:
    outside = numbers[(numbers < 1) | (numbers > rows)]
    if len(outside):
        yield DataError(
            f"{path}: {name} holds row {outside[0]}, outside 1..{rows:,} ({len(outside):,} such rows); "
            "use the ind.mat of the same release as the annotation"
        )
    unique, times = np.unique(numbers, return_counts=True)
    if len(unique) < len(numbers):
        twice = unique[times > 1]
        yield DataError(
            f"{path}: {name} holds {len(twice):,} rows more than once (first: row {twice[0]}); "
            "use the benchmark's own ind.mat"
        )


def codes(path: Path, column: str, content: dict[str, Any]) -> NDArray[np.int64]:
    """The labels of one column of `CODES` as 0-based indices.

    Raises:
        DataError: when one is outside the benchmark's table.
    """
    variable, first = CODES[column]
    classes = len(labels.LABELS[column])
    numbers = _whole_numbers(path, variable, content[variable])
    wrong = np.flatnonzero((numbers < first) | (numbers >= first + classes))
    if len(wrong):
        raise DataError(
            f"{path}: {variable} holds {numbers[wrong[0]]} at row {wrong[0] + 1}, "
            f"outside {first}..{first + classes - 1}; use the benchmark's own annotation"
        )
    return numbers - first


def _whole_numbers(path: Path, name: str, values: Any) -> NDArray[np.int64]:
    """Any number type, any orientation -> a flat int64 array."""
    flat = np.asarray(values).ravel()
    if flat.dtype.kind not in "uif" or not np.array_equal(flat, np.trunc(flat)):
        raise DataError(f"{path}: {name} holds something else than whole numbers; download the file again")
    return flat.astype(np.int64)


def strings(path: Path, name: str, content: dict[str, Any]) -> list[str]:
    """A cell of char rows; scipy gives each as an array of one string, or of none for an empty cell.

    Raises:
        DataError: when the variable is something else.
    """
    cells = np.asarray(content[name]).ravel()
    if cells.dtype != object:
        raise DataError(f"{path}: {name} is not a cell of strings; it is not the benchmark's annotation")
    return [str(cell[0]) if len(cell) else "" for cell in cells]


def _length(shape: Sequence[int]) -> int:
    return int(np.prod(shape))


def _shapes(path: Path) -> dict[str, Sequence[int]]:
    from scipy import io

    with _readable(path):
        return {name: shape for name, shape, _ in io.whosmat(path)}


def _load(path: Path, names: Sequence[str]) -> dict[str, Any]:
    from scipy import io

    with _readable(path):
        return io.loadmat(path, variable_names=list(names))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns whatever a broken MATLAB file makes scipy raise into one line."""
    try:
        yield
    except NotImplementedError:
        raise DataError(f"{path} is a MATLAB v7.3 file; save it again with -v7") from None
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(f"cannot read {path} ({reason}); download it again") from None
