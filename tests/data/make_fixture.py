"""Writes a tiny benchmark folder in the exact formats: what the tests of everything above the data read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fsynth.data import zip_writer

PASSWORD = b"kept-out-of-caches"
CANARY = b"this is the comment inside every picture"
STRIPE = bytes((90, 195, 23)) * 16
"""One picture line of every picture: what its decoded bytes are recognised by."""
WIDTH, HEIGHT = 16, 24  # not square: swapped axes must not pass
TEST_EVERY = 4
ROWS = 24


def picture(row: int) -> np.ndarray:
    """The (HEIGHT, WIDTH, 3) uint8 picture of a row: smooth, so that a JPEG keeps it, and lopsided."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    layers = (x * 7 + row, y * 5 + 60, np.full_like(x, 40 + 5 * row % 200))
    values = np.clip(np.stack(layers, axis=-1), 0, 255).astype(np.uint8)
    values[HEIGHT // 2] = np.frombuffer(STRIPE, np.uint8).reshape(WIDTH, 3)
    return values


def jpeg(row: int) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture(row)).save(content, "JPEG", quality=95, subsampling=0, comment=CANARY)
    return content.getvalue()


def name(row: int) -> str:
    return f"img/Small_Dress_{row % 3}/img_{row + 1:08d}.jpg"


def annotation_variables(rows: int) -> dict[str, np.ndarray]:
    """The variables of ``language_original.mat``, with their shapes and types."""
    sentences = [f"the lady wore a red sleeveless dress number {row}." for row in range(rows)]
    numbers = np.arange(rows, dtype=np.float64).reshape(-1, 1)
    return {
        "engJ": cells(sentences),
        "cate_new": numbers % 19 + 1,
        "color_": numbers % 17 + 1,
        "gender_": numbers % 2,
        "sleeve_": numbers % 4 + 1,
        "img_root": np.array(["/somewhere"]),
        "nameList": cells([name(row) for row in range(rows)]),
        "codeJ": cells([np.arange(1, 9, dtype=np.float64).reshape(-1, 1)] * rows),
    }


def cells(values: list) -> np.ndarray:
    """A MATLAB cell column."""
    column = np.empty((len(values), 1), dtype=object)
    column[:, 0] = values
    return column


def split_variables(rows: int) -> dict[str, np.ndarray]:
    """The variables of ``ind.mat``: every fourth row is a test row, from the first."""
    numbers = np.arange(1, rows + 1, dtype=np.float64)
    test = numbers[(numbers - 1) % TEST_EVERY == 0].reshape(-1, 1)
    train = numbers[(numbers - 1) % TEST_EVERY != 0].reshape(-1, 1)
    return {"train_ind": train, "test_ind": test, "test_set_pair_ind": np.roll(test, 1)}


def save_mat(path: Path, variables: dict[str, np.ndarray]) -> Path:
    from scipy import io as matlab

    path.parent.mkdir(parents=True, exist_ok=True)
    matlab.savemat(path, variables, do_compression=True)
    return path


def save_hdf5(path: Path, rows: int) -> Path:
    """``G2.h5``: N,C,W,H float32, the mean picture taken off."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    natural = np.stack([picture(row) for row in range(rows)]).astype(np.float32) / 255
    stored = natural.transpose(0, 3, 2, 1)
    mean = stored.mean(axis=0)
    with h5py.File(path, "w") as file:
        file["ih"] = stored - mean
        file["ih_mean"] = mean
        file["b_"] = np.zeros((rows, 1, WIDTH, HEIGHT), np.uint8)
    return path


def save_zip(path: Path, rows: int, prefix: str = "img/", members: dict[str, bytes] | None = None) -> Path:
    """An encrypted image ZIP; ``members`` replaces or adds some."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = {prefix + name(row).removeprefix("img/"): jpeg(row) for row in range(rows)}
    zip_writer.write_encrypted_zip(path, ({**pictures, **(members or {})}).items(), PASSWORD)
    return path


def save_hdf5_zip(path: Path, hdf5: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)

    def members() -> Iterator[tuple[str, bytes]]:
        yield "data_release/supervision_signals/readme.txt", b"the signals of the authors' release"
        yield "data_release/supervision_signals/G2.h5", hdf5.read_bytes()

    zip_writer.write_encrypted_zip(path, members(), PASSWORD, compress=True)
    return path


def write_annotation(root: Path, variables: dict | None = None, splits: dict | None = None) -> Path:
    """Annotation and split of `ROWS` rows in one folder, some variables replaced."""
    save_mat(root / "language_original.mat", {**annotation_variables(ROWS), **(variables or {})})
    save_mat(root / "ind.mat", {**split_variables(ROWS), **(splits or {})})
    return root


def write_benchmark(root: Path, rows: int = ROWS) -> Path:
    """The whole folder as the benchmark is handed out, and ``password.txt`` beside."""
    save_mat(root / "Anno" / "language_original.mat", annotation_variables(rows))
    save_mat(root / "Eval" / "ind.mat", split_variables(rows))
    save_hdf5(root / "Img" / "G2.h5", rows)
    save_zip(root / "Img" / "img.zip", rows)
    (root / "password.txt").write_bytes(PASSWORD + b"\n")
    return root
