"""Pictures of classes from elsewhere, to see what a model can still tell.

Three sources: Fashion-MNIST's IDX files (t10k, 10,000 grey pictures of 28 px; Xiao et al. 2017,
arXiv:1708.07747), a folder of folders named by class, and Fashion-MNIST from the hub.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth import hub, idx_files
from fsynth.class_pictures import SEED, ClassPictures
from fsynth.console import counted
from fsynth.data.rows import PICTURES, SPLIT_WORDS
from fsynth.errors import DataError, reason
from fsynth.order import choose_rows

if TYPE_CHECKING:
    import numpy as np

HUB, REPOSITORY = "fashion-mnist", "zalando-datasets/fashion_mnist"
NAME = "Fashion-MNIST"
FASHION_MNIST = (
    "t-shirt",
    "pair of trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
"""Its classes in the order of its labels, as people call them."""
_T10K = "b7656a891b218fc13e45205c48a92cae"
"""MD5 of the pictures of Fashion-MNIST's t10k, as they lie in its file without the gzip around it."""


def open_given(where: str | None, most: int) -> ClassPictures | None:
    """`open_classes`, where there is anything to open."""
    return None if where is None else open_classes(where, most)


def absolute(where: str | None) -> str | None:
    """A folder that is there with its whole path, for run.yaml; the hub's name as it is."""
    folder = Path(where).expanduser() if where else None
    return str(folder.resolve()) if folder is not None and folder.is_dir() else where


def open_classes(where: str, most: int) -> ClassPictures:
    """What ``--zero-shot`` names, or a seeded draw of ``most`` of its pictures.

    Raises:
        DataError: nothing of the three kinds, files that are broken, a class without pictures, one class.
    """
    folder = Path(where).expanduser()
    if folder.is_dir():
        found = _idx(folder)
        return _from_idx(*found, most) if found else _from_folders(folder, most)
    if where == HUB:
        return _from_hub(most)
    raise DataError(
        f"--zero-shot {where}: no such folder; name one with Fashion-MNIST's t10k files, one of folders that "
        f"are named by class, or {HUB}"
    )


def _drawn(truth: Sequence[int], most: int) -> list[int]:
    return choose_rows(len(truth), min(most, len(truth)), SEED)


# --------------------------------------------------------------------------------------------------
# Fashion-MNIST's own files


def _idx(folder: Path) -> tuple[Path, Path] | None:
    """Pictures and labels of t10k, in the folder or where torchvision puts them; None without any IDX file.

    Raises:
        DataError: one of the two is missing.
    """
    for place in (folder, folder / "raw", folder / "FashionMNIST" / "raw"):
        pictures, labels = (_first(place, f"t10k-{what}*") for what in ("images", "labels"))
        if pictures and labels:
            return pictures, labels
        if pictures or labels or _first(place, "train-images*"):
            raise DataError(
                f"--zero-shot {folder}: Fashion-MNIST's test pictures are t10k-images-idx3-ubyte.gz and "
                f"t10k-labels-idx1-ubyte.gz (or without .gz); not both are in {place}"
            )
    return None


def _first(folder: Path, pattern: str) -> Path | None:
    return next((path for path in sorted(folder.glob(pattern)) if "ubyte" in path.name), None)


@dataclass(frozen=True)
class _Pixels:
    pixels: np.ndarray
    rows: Sequence[int]
    file: Path

    def __getitem__(self, place: int) -> Any:
        from PIL import Image

        return Image.fromarray(self.pixels[self.rows[place]])

    def called(self, place: int) -> str:
        return f"picture {self.rows[place]} of {self.file}"


def _from_idx(pictures: Path, labels: Path, most: int) -> ClassPictures:
    pixels, truth = idx_files.read(pictures, 3), idx_files.read(labels, 1)
    if len(pixels) != len(truth):
        raise DataError(
            f"{pictures} holds {len(pixels):,} pictures and {labels} {len(truth):,} labels; they do not "
            "belong together: download both again"
        )
    if not len(truth) or truth.max() >= len(FASHION_MNIST):
        what = f"a label {truth.max()}" if len(truth) else "no labels"
        raise DataError(f"{labels} holds {what}, Fashion-MNIST's are 0 to 9; download it again")
    known = hashlib.md5(pixels.tobytes(), usedforsecurity=False).hexdigest() == _T10K
    rows = _drawn(truth, most)
    return ClassPictures(
        name=NAME,
        classes=FASHION_MNIST,
        truth=tuple(int(truth[row]) for row in rows),
        found=len(truth),
        pictures=_Pixels(pixels, rows, pictures),
        note="" if known else f"{pictures.name} is not t10k as published: compare with nobody's scores",
    )


# --------------------------------------------------------------------------------------------------
# folders named by class


@dataclass(frozen=True)
class _Files:
    files: Sequence[Path]

    def __getitem__(self, place: int) -> Any:
        from PIL import Image

        return Image.open(self.files[place])

    def called(self, place: int) -> str:
        return str(self.files[place])


def _from_folders(folder: Path, most: int) -> ClassPictures:
    root, note = _split_of(folder)
    by_class = {child.name: _pictures_in(child) for child in _folders(root)}
    if len(by_class) < 2:
        raise DataError(
            f"--zero-shot {folder}: {counted(len(by_class), 'class folder')} in {root}, there must be two at "
            "least: one folder a class, named as it is called, with its pictures"
        )
    if empty := [name for name, files in by_class.items() if not files]:
        raise DataError(
            f"--zero-shot {folder}: class folder {root / empty[0]} holds no pictures; take it out"
        )
    classes = tuple(" ".join(name.replace("_", " ").split()) for name in by_class)
    called = [name.casefold() for name in classes]  # as tokenizers of CLIP read them
    if twice := [name for name in called if called.count(name) > 1]:
        raise DataError(
            f"--zero-shot {folder}: two class folders in {root} are both called '{twice[0]}'; put their "
            "pictures into one"
        )
    files = [file for found in by_class.values() for file in found]
    truth = [number for number, found in enumerate(by_class.values()) for _ in found]
    rows = _drawn(truth, most)
    return ClassPictures(
        name=f"{folder.resolve().name}/",
        classes=classes,
        truth=tuple(truth[row] for row in rows),
        found=len(truth),
        pictures=_Files(tuple(files[row] for row in rows)),
        note=note,
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _split_of(folder: Path) -> tuple[Path, str]:
    """The folder of the classes: what tests, where there are splits; with a note on what was taken."""
    by_split = {_split(child): child for child in _folders(folder)}
    chosen = next((name for name in ("test", "validation", "train") if name in by_split), None)
    if chosen is None:
        return folder, ""
    note = "" if chosen == "test" else f"there is no test folder: {by_split[chosen].name}/ is taken"
    return by_split[chosen], note


def _split(folder: Path) -> str | None:
    """The split that a folder is named like, if it holds folders: a class may be named so, too."""
    name = folder.name.lower()
    split = next((split for split, words in SPLIT_WORDS.items() if name in words), None)
    return split if split and _folders(folder) else None


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())


# --------------------------------------------------------------------------------------------------
# the hub


@dataclass(frozen=True)
class _HubRows:
    dataset: Any
    rows: Sequence[int]

    def __getitem__(self, place: int) -> Any:
        return self.dataset[self.rows[place]]["image"]

    def called(self, place: int) -> str:
        return f"row {self.rows[place]} of {REPOSITORY}"


def _from_hub(most: int) -> ClassPictures:
    import datasets

    try:
        with hub.without_waiting():
            test = datasets.load_dataset(REPOSITORY, split="test")
        truth = test["label"]
    except Exception as error:  # of the network, the hub and each of its formats
        raise DataError(
            f"--zero-shot {HUB}: {REPOSITORY} cannot be had from the hub ({reason(error)}); fetch it where "
            "there is a network and copy its cache, or name a folder with Fashion-MNIST's t10k files"
        ) from None
    rows = _drawn(truth, most)
    return ClassPictures(
        name=NAME,
        classes=FASHION_MNIST,
        truth=tuple(truth[row] for row in rows),
        found=len(truth),
        pictures=_HubRows(test, rows),
    )
